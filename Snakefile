# Do liquid networks (CfC) really beat LSTMs on sequences with gaps?
#
#   snakemake --cores all --use-conda                 the study of config/config.yaml
#   snakemake --cores all --configfile config/demo.yaml   minutes, on synthetic data
#   snakemake tables figures claims report --cores 1  redraw from the runs that are there
#   snakemake export --cores 1                        pack them, for another machine


from pathlib import Path

# Not `workflow.basedir`: that is the folder of the file which includes this one, if one does.
PROJECT = Path(str(workflow.current_basedir)).resolve()


configfile: f"{PROJECT}/config/config.yaml"
configfile: f"{PROJECT}/config/protocols.yaml"


include: "rules/common.smk"


# What `snakemake --report` opens with.
report: "report/workflow.rst"


# Asked for tables, figures and claims alone, the workflow draws whatever runs there are and makes no new ones.
if not RENDER_ONLY:

    include: "rules/fetch.smk"
    include: "rules/prepare.smk"
    include: "rules/train.smk"
    include: "rules/baseline.smk"
    include: "rules/stress.smk"


if ARCHIVED:

    include: "rules/unpack.smk"


include: "rules/report.smk"
include: "rules/export.smk"


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.figures.output,
        rules.claims.output,
        rules.report.output,


onerror:
    say_what_failed(log)


# One data set alone: `snakemake --cores all physionet`, then `snakemake tables figures claims report --cores 1`.
if not RENDER_ONLY:
    for name in config["datasets"]:

        rule:
            name:
                name
            input:
                functools.partial(files_of_dataset, dataset=name),
