# Set-up and everyday commands. The workflow itself is Snakemake's: see README.md.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The rules call plain `python`: it has to be the one of this environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHON

# The jobs of demo and tests are short: more than 8 at a time gain nothing.
CORES ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 8 ? cores : 8)))
UV_VERSION := 0.13.9

# A study's folders, as its configuration names them; of the demo: RESULTS=demo/results and so on.
RAW = resources/raw
RESULTS = results
REPORTS = reports
STAGE =
DATASET =
# Through the environment, where no shell reads them as commands.
export RAW RESULTS REPORTS STAGE DATASET

.PHONY: help setup demo test reference bench lint format environments dag sizes clean clean-demo lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## Make the virtual environment .venv from the lock (PYTHON=... chooses the Python)
	@requirements/install.sh

demo: setup ## Run the whole study on small synthetic data, in minutes (CORES=...)
	@LIQUIDBENCH_COMMAND='make demo' python -m snakemake --configfile config/demo.yaml --cores $(CORES)
	@echo
	@echo 'Done, on SYNTHETIC data: the numbers say nothing about the real data sets. Open:'
	@printf '  %s\n' demo/reports/index.html demo/reports/claims.md demo/reports/tables/index.md \
	    demo/reports/figures/index.md

# Whole files to each process: what a file's tests share is made once.
test: setup ## Run the tests, CORES at a time (ARGS=... goes to pytest)
	@python -m pytest --numprocesses $(CORES) --dist loadfile $(ARGS)

# Without torch and without data, from the archives of its runs.
reference: setup ## Draw the reference study again and compare it with what is committed
	@rm -rf resources/reference/{results,reports}{,-sepsis}
	@for name in reference reference-sepsis; do \
	    python -m snakemake tables figures claims report --cores $(CORES) --configfile "config/$$name.yaml"; \
	done
	@changed=$$(git status --porcelain -- resources/reference); \
	if [[ -n $$changed ]]; then \
	    printf '%s\n' 'error: not what is committed:' "$$changed" >&2; exit 1; \
	fi
	@echo 'Every file is what is committed. Open resources/reference/reports/index.html'

# One after the other, and nothing beside them: they measure time.
BENCHMARKS := cores preparation loader reading epochs differences
bench: setup ## Measure speed, as ratios, into benchmark-results/ (QUICK=1: roughly; LIQUIDBENCH_MIRROR: real files)
	@for name in $(BENCHMARKS); do \
	    echo "== $$name"; \
	    python "benchmarks/$$name.py" --out "benchmark-results/$$name.csv" $(if $(QUICK),--quick); \
	done

lint: setup ## Check formatting and style of code and workflow
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile workflow/Snakefile rules
	python -m snakemake --lint

format: setup ## Put code and workflow into form
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/Snakefile rules

environments: setup ## Build each stage's environment alone and run the stage in it
	@python workflow/scripts/check_environments.py

dag: setup ## Draw the graph of the rules: dag.svg with Graphviz, else dag.md in Mermaid's notation
	@if command -v dot >/dev/null; then \
	    python -m snakemake --rulegraph dot --quiet | dot -Tsvg -o dag.svg && echo 'open dag.svg'; \
	else \
	    { printf '```mermaid\n%s\n```\n' "$$(python -m snakemake --rulegraph mermaid-js --quiet)"; } > dag.md && \
	    echo 'open dag.md where Mermaid is drawn (GitHub, most editors); no Graphviz here'; \
	fi

sizes: setup ## Say what a study has on the disk, by stage (RESULTS=... RAW=... REPORTS=...)
	@python workflow/scripts/housekeeping.py --raw "$$RAW" --results "$$RESULTS" --reports "$$REPORTS" sizes

clean: setup ## List what a stage has on the disk: STAGE=caches [DATASET=...]; YES=1 deletes it
	@python workflow/scripts/housekeeping.py --raw "$$RAW" --results "$$RESULTS" --reports "$$REPORTS" \
	    clean "$${STAGE:-name one by STAGE=}" --dataset "$$DATASET" \
	    $(if $(filter command\ line1,$(origin YES)$(YES)),--yes)

clean-demo: ## Delete what the demo made
	rm -rf demo

lock: ## Renew requirements.lock (UPGRADE=--upgrade also takes newer versions)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	"$${PYTHON:-python3}" -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet uv==$(UV_VERSION) && \
	"$$folder/bin/uv" pip compile --universal --python-version 3.11 --strip-extras \
	    --excludes requirements/unlocked.txt --custom-compile-command 'make lock' $(UPGRADE) \
	    --output-file requirements/requirements.lock requirements/requirements.in
