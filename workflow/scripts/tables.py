"""Write Tables I to VI from the summaries, each value beside the printed one."""

import argparse

from liquidbench.errors import run_command
from liquidbench.reporting.study import add_study_arguments, read_study
from liquidbench.reporting.table_files import build_tables, write_tables


def main() -> None:
    """Parse the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_study_arguments(parser)
    parser.add_argument("--paper", required=True, help="folder of the printed numbers")
    parser.add_argument("--out", required=True, help="folder of the tables")
    arguments = parser.parse_args()
    study = read_study(arguments.summary, arguments.layout)
    write_tables(study, build_tables(study, arguments.paper), arguments.out)
    print(f"tables written: {arguments.out}/index.md")


if __name__ == "__main__":
    run_command(main)
