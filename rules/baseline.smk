# One fit per baseline and seed: models without a core, on summaries of each stay.


rule baseline:
    input:
        cache_for("metrics.json"),
    output:
        [f"{RUN_DIRECTORY}/{name}" for name in BASELINE_FILES],
    log:
        f"{RESULTS}/logs/baseline/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/baseline/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.jsonl"
    wildcard_constraints:
        model=BASELINE_NAMES,
    conda:
        "../envs/train.yaml"
    threads: config["threads"]["train"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        script=script("baseline.py"),
        settings=lambda wildcards: settings_of(
            wildcards.dataset, wildcards.protocol, wildcards.model
        ),
        directory=lambda wildcards, output: os.path.dirname(output[0]),
        code=code_of("baseline.py", "baseline"),
    shell:
        "python {params.script:q} --cache {input:q} --dataset {wildcards.dataset}"
        " --protocol {wildcards.protocol} --model {wildcards.model} --seed {wildcards.seed}"
        " --settings {params.settings:q} --threads {threads}"
        " --out {params.directory:q} 2>&1 | (tee {log:q} || true)"
