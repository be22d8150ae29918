"""liquidbench: do liquid networks (CfC) beat LSTMs on sequences with gaps?

Parts, in the order in which data pass through them::

    datasets/    raw files -> cache (numpy, h5py; never torch)
    models/      sequence cores, encoders, heads (torch)
    training/    batches, the loop, run directories (torch)
    inference/   trained models asked about new files, and exported (torch, onnx)
    evaluation/  metrics and corruptions (numpy, scikit-learn)
    reporting/   tables and figures (pandas, matplotlib)

No part imports snakemake, and each imports only its own stage's packages.
"""
