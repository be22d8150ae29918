# The small files of all runs in one archive, to be drawn from elsewhere: docs/sharing.md.


localrules:
    archive,
    export,
    export_with_weights,
    publish,


rule archive:
    input:
        rules.summary.output,
        # Asked for when it is needed: a plan of thousands of runs that packs nothing need not go through their files.
        lambda wildcards: FILES_OF_RUNS + EXAMPLES,
        weights_of_runs,
    output:
        f"{REPORTS}/study{{weights}}.zip",
    log:
        f"{RESULTS}/logs/report/export{{weights}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/export{{weights}}.jsonl"
    wildcard_constraints:
        weights="|-with-weights",
    conda:
        "../envs/report.yaml"
    params:
        script=script("export.py"),
        results=lambda wildcards: RESULTS,
        runs=lambda wildcards: EXPECTED_RUNS,
        # In its own order, which is that of the tables.
        configuration=lambda wildcards: json.dumps(config),
        weights=lambda wildcards: "--weights" if wildcards.weights else "",
        code=code_of("export.py", "export"),
    shell:
        "python {params.script:q} --results {params.results:q} --runs {params.runs:q}"
        " --configuration {params.configuration:q} {params.weights} --out {output:q} 2>&1 | (tee {log:q} || true)"


rule export:
    input:
        f"{REPORTS}/study.zip",


rule export_with_weights:
    input:
        f"{REPORTS}/study-with-weights.zip",


# For a public place: no data, no texts, several small files.
rule publish:
    input:
        rules.summary.output,
        lambda wildcards: FILES_OF_RUNS,
    output:
        directory(f"{REPORTS}/to-publish"),
    log:
        f"{RESULTS}/logs/report/publish.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/publish.jsonl"
    conda:
        "../envs/report.yaml"
    params:
        script=script("publish.py"),
        results=lambda wildcards: RESULTS,
        runs=lambda wildcards: EXPECTED_RUNS,
        configuration=lambda wildcards: json.dumps(config),
        code=code_of("publish.py", "publish"),
    shell:
        "python {params.script:q} --results {params.results:q} --runs {params.runs:q}"
        " --configuration {params.configuration:q} --out {output:q} 2>&1 | (tee {log:q} || true)"
