# What models still know when steps or values are lost at inference.


rule stress:
    input:
        cache=cache_for("stress.csv"),
        weights=f"{RUN_DIRECTORY}/weights.safetensors",
        metrics=f"{RUN_DIRECTORY}/metrics.json",
    output:
        table=f"{RUN_DIRECTORY}/stress.csv",
        answers=f"{RUN_DIRECTORY}/stress_answers.npz",
    log:
        f"{RESULTS}/logs/stress/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/stress/{{dataset}}/{{protocol}}/{{model}}/seed-{{seed}}.jsonl"
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
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        script=script("stress.py"),
        settings=lambda wildcards: stress_settings_of(wildcards.dataset),
        run=lambda wildcards, input: os.path.dirname(input.weights),
        code=code_of("stress.py", "stress"),
    shell:
        "python {params.script:q} --cache {input.cache:q} --run {params.run:q}"
        " --settings {params.settings:q} --device {resources.device} --threads {threads}"
        " --jobs-per-gpu {resources.jobs_per_gpu}"
        " --core-implementation {resources.core_implementation}"
        " --out {output.table:q} 2>&1 | (tee {log:q} || true)"
