# Raw files: downloaded, found in a mirror, or generated. Either way a manifest says where they are.


# On a cluster the submitting machine downloads: the others often have no way out.
localrules:
    fetch,


rule fetch:
    output:
        f"{RAW}/{{dataset}}/manifest.json",
    log:
        f"{RESULTS}/logs/fetch/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/{{dataset}}.jsonl"
    wildcard_constraints:
        dataset=datasets_from("download", "mirror"),
    conda:
        "../envs/fetch.yaml"
    resources:
        # Not a parameter: a mirror that moved has the same files, and must not repeat the study.
        mirror=mirror_folder(),
    params:
        script=script("fetch.py"),
        source=lambda wildcards: config["datasets"][wildcards.dataset]["source"],
        options=lambda wildcards: as_json(configuration.fetch_options(config, wildcards.dataset)),
        sources=project_file("resources/sources.yaml"),
        code=code_of("fetch.py", "fetch"),
    shell:
        "python {params.script:q} --dataset {wildcards.dataset} --source {params.source}"
        " --mirror={resources.mirror:q} --options {params.options:q}"
        " --sources {params.sources:q} --checksums resources/recorded-checksums.json"
        " --out {output:q} 2>&1 | (tee {log:q} || true)"


rule synthesise:
    output:
        f"{RAW}/{{dataset}}/manifest.json",
    log:
        f"{RESULTS}/logs/synthesise/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesise/{{dataset}}.jsonl"
    wildcard_constraints:
        dataset=datasets_from("synthetic"),
    conda:
        "../envs/prepare.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        script=script("synthesise.py"),
        options=lambda wildcards: as_json(
            configuration.synthesis_options(config, wildcards.dataset)
        ),
        code=code_of("synthesise.py", "synthesise"),
    shell:
        "python {params.script:q} --dataset {wildcards.dataset}"
        " --options {params.options:q} --out {output:q} 2>&1 | (tee {log:q} || true)"
