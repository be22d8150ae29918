# One training per data set, protocol, model and seed.


rule train:
    input:
        cache_for("metrics.json"),
    output:
        [f"{RUN_DIRECTORY}/{name}" for name in RUN_FILES],
    log:
        f"{RESULTS}/logs/train/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.jsonl"
    wildcard_constraints:
        model=CORE_NAMES,
    conda:
        "../envs/train.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=GPUS_PER_JOB,
        gpu_percent=GPU_PERCENT_PER_JOB,
        # Not parameters: naming what would have been taken anyway must not repeat a training.
        device=config["device"],
        jobs_per_gpu=config["jobs_per_gpu"],
        core_implementation=config["core_implementation"],
        max_minutes=str(config["max_minutes"] or "none"),
        tensorboard="yes" if config["tensorboard"] else "no",
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        script=script("train.py"),
        settings=lambda wildcards: settings_of(
            wildcards.dataset, wildcards.protocol, wildcards.model
        ),
        directory=lambda wildcards, output: os.path.dirname(output[0]),
        code=code_of("train.py", "train"),
    shell:
        "python {params.script:q} --cache {input:q} --dataset {wildcards.dataset}"
        " --protocol {wildcards.protocol} --model {wildcards.model} --seed {wildcards.seed}"
        " --settings {params.settings:q} --device {resources.device} --threads {threads}"
        " --jobs-per-gpu {resources.jobs_per_gpu}"
        " --core-implementation {resources.core_implementation}"
        " --max-minutes {resources.max_minutes} --tensorboard {resources.tensorboard}"
        " --out {params.directory:q} 2>&1 | (tee {log:q} || true)"
