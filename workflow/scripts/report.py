"""Write the page of a study: claims, tables, figures, examples and all runs in one file."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.page.figures import read_figures
from liquidbench.page.page import Inputs, write_page
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.study import add_study_arguments, read_study
from liquidbench.reporting.table_files import build_tables


def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_study_arguments(parser)
    parser.add_argument("--results", required=True, help="folder of the run directories")
    parser.add_argument("--figures", required=True, help="folder of the drawn figures")
    parser.add_argument("--claims", required=True, help="the claims, as docs/claims.md says")
    parser.add_argument("--paper", required=True, help="folder of the printed numbers")
    parser.add_argument("--out", required=True, help="the page to write")
    arguments = parser.parse_args()
    study = read_study(arguments.summary, arguments.layout)
    write_page(
        Inputs(
            study=study,
            tables=build_tables(study, arguments.paper),
            judged=judge(read_claims(arguments.claims, arguments.paper), study),
            figures=read_figures(Path(arguments.figures)),
            results=Path(arguments.results),
            out=Path(arguments.out),
        )
    )
    print(f"open {arguments.out}")


if __name__ == "__main__":
    run_command(main)
