# Raw files to one HDF5 cache per data set, and the few examples that the figures show.


rule prepare:
    input:
        manifest=f"{RAW}/{{dataset}}/manifest.json",
        damaged=mark_of_damage,
    output:
        cache=CACHE,
        examples=f"{RESULTS}/{{dataset}}/examples.npz",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare/{{dataset}}.jsonl"
    conda:
        "../envs/prepare.yaml"
    threads: config["threads"]["prepare"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        script=script("prepare.py"),
        settings=lambda wildcards: as_json(config["datasets"][wildcards.dataset]["prepare"]),
        code=lambda wildcards: code_of("prepare.py", "prepare", wildcards.dataset),
    shell:
        "python {params.script:q} --dataset {wildcards.dataset} --manifest {input.manifest:q}"
        " --settings {params.settings:q} --cache {output.cache:q}"
        " --examples {output.examples:q} --threads {threads} 2>&1 | (tee {log:q} || true)"
