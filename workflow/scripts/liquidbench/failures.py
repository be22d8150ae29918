"""What a study that did not finish says last: which jobs failed, why, and the command that goes on from there."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# How the project's own programs begin the line that says why they ended.
REASONS = ("error: ", "stopped: ")
# Of one study, how many are told whole: a common cause shows in the first few.
SHOWN = 10

# A job that failed alone, or within a group; then its facts, indented further.
_FAILED = re.compile(r"^(?:Error in rule| {8}rule) (?P<rule>\w+):\n(?P<facts>(?: {4,}.*\n)*)", re.M)
_FACT = re.compile(r"^ +(jobid|output|log): (.*?)(?: \(check log file\(s\).*)?$", re.M)
_FINISHED = re.compile(r"^Finished jobid: (\d+)\b", re.M)
_PLANNED = re.compile(r"^total +(\d+)$", re.M)
_STEPS = re.compile(r"^(\d+) of (\d+) steps", re.M)


@dataclass(frozen=True)
class Failure:
    """A job that failed and did not finish later: its rule, what it was to make, its log (empty: none) and why."""

    rule: str
    output: str
    log: str
    reason: str


def failures(text: str, folder: Path) -> list[Failure]:
    """The jobs that failed, and were not repeated with success, each once.

    Args:
        text: of Snakemake's own log.
        folder: from which the paths in it start.
    """
    finished = set(_FINISHED.findall(text))
    found = {}
    for match in _FAILED.finditer(text):
        facts = dict(_FACT.findall(match["facts"]))
        job = facts.get("jobid", "")
        if job not in finished:
            log = facts.get("log", "").split(", ")[0]
            output = facts.get("output", "").split(", ")[0]
            reason = _reason(folder / log) if log else "it has no log"
            found[job] = Failure(match["rule"], output, log, reason)
    return list(found.values())


def _reason(log: Path) -> str:
    """The line of a job's log that says why it ended: the program's own, or else that there is none, with the last."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log: it may not have started, or the machine stopped it"
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return "its log is empty: the machine may have stopped it, for its memory or time"
    own = [line for line in said if line.startswith(REASONS)]
    if own:
        return own[-1]
    return f"it ended without a reason of its own: killed, as for want of memory, or a fault; its last line: {said[-1]}"


def summary(log: Path, folder: Path, arguments: Sequence[str], again: str = "") -> str:
    """What failed, why, and how to go on.

    Args:
        log: Snakemake's own.
        folder: the working directory.
        arguments: of the command that was given, without its name.
        again: what to type instead, if it was started by another command.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    failed = failures(text, folder)
    steps, planned = _STEPS.findall(text), _PLANNED.findall(text)
    done = ""
    if steps:
        done = f" {steps[-1][0]} of {steps[-1][1]} jobs are done."
    elif planned:
        done = f" None of {planned[-1]} jobs is done."
    lines = ["", f"The study did not finish.{done}"]
    for one in failed[:SHOWN]:
        lines += [f"  failed: {one.rule}, {one.output}", f"    why: {one.reason}"]
        lines += [f"    log: {one.log}"] * bool(one.log)
    if len(failed) > SHOWN:
        lines.append(f"  and {len(failed) - SHOWN} more, in {log}")
    command = again or "snakemake " + shlex.join(arguments)
    lines += ["What is finished stays, and trainings go on from their last epoch. To go on:"]
    return "\n".join([*lines, f"  {command}", ""])
