# A study that is drawn from archives of its runs, and trains nothing: `archives` in the configuration.


localrules:
    unpack,


rule unpack:
    input:
        [str(path) for path in archives_of(ARCHIVED)],
    output:
        UNPACKED,
    log:
        f"{RESULTS}/logs/report/unpack.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/unpack.jsonl"
    conda:
        "../envs/report.yaml"
    params:
        script=script("unpack.py"),
        archives=config["archives"],
        results=lambda wildcards: RESULTS,
        code=code_of("unpack.py", "unpack"),
    shell:
        "python {params.script:q} --archives {params.archives:q} --results {params.results:q} 2>&1 | (tee {log:q} || true)"
