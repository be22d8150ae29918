"""Judge the paper's claims by the summaries, and write `claims.md` and `claims.csv`."""

import argparse

from liquidbench.errors import run_command
from liquidbench.reporting.claim_page import write_claims
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.study import add_study_arguments, read_study


def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_study_arguments(parser)
    parser.add_argument("--claims", required=True, help="the claims, as docs/claims.md says")
    parser.add_argument("--paper", required=True, help="folder of the printed numbers")
    parser.add_argument("--out", required=True, help="folder of the page")
    arguments = parser.parse_args()
    claims = read_claims(arguments.claims, arguments.paper)
    study = read_study(arguments.summary, arguments.layout)
    judged = judge(claims, study)
    write_claims(study, judged, arguments.out)
    print(f"{len(judged)} claims judged: {arguments.out}/claims.md")


if __name__ == "__main__":
    run_command(main)
