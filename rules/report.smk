# What a reader opens, from the small files that the runs left behind: no torch, no data.


# Redrawn from the files that are there, by the machine that is asked: a cluster's job would not know that the rest is
# left out on purpose. In a full study they are jobs like the others, since the summary of many runs takes minutes.
if RENDER_ONLY:

    localrules:
        summary,
        tables,
        figures,
        claims,
        report,


SUMMARY_FILES = [
    f"{RESULTS}/summary/{name}.csv"
    for name in (
        "runs",
        "metrics",
        "parameters",
        "history",
        "confusion",
        "stress",
        "settings",
        "environment",
        "costs",
        "clinical",
        "calibration",
        "operating_points",
        "handwriting",
        "differences",
        "stress_differences",
    )
]
# The paper's tables, then those that it does not have.
PAPERS_TABLES = {
    "1": "benchmark",
    "2": "sepsis",
    "3": "stress test",
    "4": "software and hardware",
    "5": "training settings",
    "6": "parameter counts",
}
OWN_TABLES = {
    "differences": "differences between models",
    "stress_area": "stress test in one number",
    "stress_differences": "differences in the stress test",
    "clinical": "sepsis: probabilities",
    "alarms": "sepsis: alarms",
    "handwriting": "two readings of lines",
    "costs": "what quality costs",
}
TABLE_FILES = [f"{REPORTS}/tables/index.md"] + [
    f"{REPORTS}/tables/table_{name}.{suffix}"
    for name in (*PAPERS_TABLES, *OWN_TABLES)
    for suffix in ("md", "tex")
]
EXPECTED_RUNS = as_json(configuration.runs_by_model(RUNS))
LAYOUT = as_json(
    {
        "main_protocols": {
            name: settings["protocol"] for name, settings in config["datasets"].items()
        },
        "stress_protocol": config["stress"]["protocol"],
        "study": config["study"],
        "hourly_protocols": configuration.hourly_protocols(config),
        "confidence": config["statistics"]["confidence"],
    }
)


# The small files of all configured runs, and examples for the figures.
if ARCHIVED:
    # One file for all of them: Snakemake's records of a thousand take longer than to unpack them.
    FILES_OF_RUNS = EXAMPLES = [UNPACKED]
else:
    FILES_OF_RUNS = [
        path
        for run in RUNS
        for name in files_of_run(run)
        if name != "weights.safetensors"
        for path in expected(run_file(run, name))
    ] + [
        path
        for run in STRESS_RUNS
        for name in ("stress.csv", "stress_answers.npz")
        for path in expected(run_file(run, name))
    ]
    EXAMPLES = [
        path
        for dataset in config["datasets"]
        for path in expected(f"{RESULTS}/{dataset}/examples.npz")
    ]


rule summary:
    input:
        FILES_OF_RUNS,
    output:
        SUMMARY_FILES,
    log:
        f"{RESULTS}/logs/report/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/summary.jsonl"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        script=script("summarise.py"),
        results=lambda wildcards: RESULTS,
        expected=lambda wildcards: EXPECTED_RUNS,
        statistics=as_json(config["statistics"]),
        out=lambda wildcards, output: os.path.dirname(output[0]),
        code=code_of("summarise.py", "report"),
    shell:
        "python {params.script:q} --results {params.results:q}"
        " --expected {params.expected:q} --statistics {params.statistics:q} --out {params.out:q} 2>&1 | (tee {log:q} || true)"


rule tables:
    input:
        summary=rules.summary.output,
        paper=[project_file(f"resources/paper/table_{number}.csv") for number in range(1, 7)],
    output:
        TABLE_FILES,
        [
            report(
                f"{REPORTS}/tables/table_{name}.csv",
                caption="../report/paper_table.rst",
                category="Tables",
                subcategory="The paper's",
                labels={"table": name, "about": about},
            )
            for name, about in PAPERS_TABLES.items()
        ],
        [
            report(
                f"{REPORTS}/tables/table_{name}.csv",
                caption="../report/own_table.rst",
                category="Tables",
                subcategory="Not in the paper",
                labels={"table": name, "about": about},
            )
            for name, about in OWN_TABLES.items()
        ],
    log:
        f"{RESULTS}/logs/report/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/tables.jsonl"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        script=script("tables.py"),
        summary=lambda wildcards, input: os.path.dirname(input.summary[0]),
        paper=lambda wildcards, input: os.path.dirname(input.paper[0]),
        layout=lambda wildcards: LAYOUT,
        out=lambda wildcards, output: os.path.dirname(output[0]),
        code=code_of("tables.py", "report"),
    shell:
        "python {params.script:q} --summary {params.summary:q} --paper {params.paper:q}"
        " --layout {params.layout:q} --out {params.out:q} 2>&1 | (tee {log:q} || true)"


rule figures:
    input:
        summary=rules.summary.output,
        examples=EXAMPLES,
        paper=[project_file(f"resources/paper/table_{number}.csv") for number in (2, 3)],
    output:
        f"{REPORTS}/figures/index.md",
        f"{REPORTS}/figures/index.json",
        # For Snakemake's own report, which wants a folder where it is not known before which figures there are. A copy:
        # Snakemake empties such a folder, and a reader may keep things beside the figures.
        report(
            directory(f"{REPORTS}/figures/snakemake-report"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{RESULTS}/logs/report/figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/figures.jsonl"
    # Before the tables and claims: of what is ready at once it takes longest, and the page waits for it.
    priority: 1
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        script=script("figures.py"),
        summary=lambda wildcards, input: os.path.dirname(input.summary[0]),
        results=lambda wildcards: RESULTS,
        runs=lambda wildcards: EXPECTED_RUNS,
        paper=lambda wildcards, input: os.path.dirname(input.paper[0]),
        layout=lambda wildcards: LAYOUT,
        out=lambda wildcards, output: os.path.dirname(output[0]),
        copies=lambda wildcards, output: output[2],
        png="" if config["figures"]["png"] else "--without-png",
        code=code_of("figures.py", "report"),
    shell:
        "python {params.script:q} --summary {params.summary:q} --results {params.results:q}"
        " --runs {params.runs:q} --paper {params.paper:q} --layout {params.layout:q} --out {params.out:q}"
        " --copies {params.copies:q} {params.png} 2>&1 | (tee {log:q} || true)"


rule claims:
    input:
        summary=rules.summary.output,
        claims=project_file("resources/paper/claims.yaml"),
        paper=[
            project_file(f"resources/paper/{name}.csv")
            for name in (*(f"table_{number}" for number in range(1, 7)), "text", "released")
        ],
    output:
        f"{REPORTS}/claims.md",
        report(
            f"{REPORTS}/claims.csv",
            caption="../report/claims.rst",
            category="The paper's claims",
            labels={"about": "every rule of every claim"},
        ),
    log:
        f"{RESULTS}/logs/report/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/claims.jsonl"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        script=script("claims.py"),
        summary=lambda wildcards, input: os.path.dirname(input.summary[0]),
        paper=lambda wildcards, input: os.path.dirname(input.paper[0]),
        layout=lambda wildcards: LAYOUT,
        out=lambda wildcards, output: os.path.dirname(output[0]),
        code=code_of("claims.py", "report"),
    shell:
        "python {params.script:q} --summary {params.summary:q} --claims {input.claims:q}"
        " --paper {params.paper:q} --layout {params.layout:q} --out {params.out:q} 2>&1 | (tee {log:q} || true)"


# The one page: it shows what the others wrote, and links to it.
rule report:
    input:
        summary=rules.summary.output,
        tables=rules.tables.output,
        figures=rules.figures.output,
        verdicts=rules.claims.output,
        examples=EXAMPLES,
        claims=project_file("resources/paper/claims.yaml"),
        paper=[
            project_file(f"resources/paper/{name}.csv")
            for name in (*(f"table_{number}" for number in range(1, 7)), "text", "released")
        ],
    output:
        report(
            f"{REPORTS}/index.html",
            caption="../report/page.rst",
            category="The page",
            labels={"about": "the whole study"},
        ),
    log:
        f"{RESULTS}/logs/report/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/report.jsonl"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        script=script("report.py"),
        summary=lambda wildcards, input: os.path.dirname(input.summary[0]),
        results=lambda wildcards: RESULTS,
        figures=lambda wildcards, input: os.path.dirname(input.figures[0]),
        paper=lambda wildcards, input: os.path.dirname(input.paper[0]),
        layout=lambda wildcards: LAYOUT,
        code=code_of("report.py", "page"),
    shell:
        "python {params.script:q} --summary {params.summary:q} --results {params.results:q}"
        " --figures {params.figures:q} --claims {input.claims:q} --paper {params.paper:q}"
        " --layout {params.layout:q} --out {output:q} 2>&1 | (tee {log:q} || true)"
