"""What keeps faults from doing harm, taken out piece by piece: each time, the test named beside it has to fail.

    python tests/protections.py [word ...]        those whose description holds a word, or all

Run by hand, after a change to one of them: it takes up to a minute for each. In a copy of the project.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workflow_helpers import PROJECT, copy_project

LIBRARY = "workflow/scripts/liquidbench"
DOWNLOAD = "test_download.py"

# What writes in each stage, on a full disk.
WRITING = tuple(
    f"test_full_disk.py::test_{name}"
    for name in (
        "synthetic_raw_files",
        "preparing",
        "training_and_stress_test",
        "a_baseline",
        "summaries_tables_and_archive",
        "claims_figures_and_the_page",
    )
)


@dataclass(frozen=True)
class Protection:
    """A protection, and what shows that it is needed.

    Attributes:
        what: its description.
        file: where it stands.
        text: its code, once in the file.
        without: what the code would be without it.
        tests: of the tests folder: `file::test`, each of which fails without it.
    """

    what: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


PROTECTIONS = (
    # A training that is killed.
    Protection(
        "a state is kept after every epoch",
        f"{LIBRARY}/training/run.py",
        "        checkpoint.save(state)\n",
        "",
        (
            "test_checkpoint.py::test_kills_at_twenty_random_moments_end_in_the_same_bytes",
            "test_interruption.py::test_a_killed_workflow_goes_on_where_its_training_was",
        ),
    ),
    Protection(
        "random numbers go on where they were",
        f"{LIBRARY}/training/state.py",
        "            generator.bit_generator.state = numbers[name]\n",
        "            pass\n",
        (
            "test_checkpoint.py::test_kills_at_twenty_random_moments_end_in_the_same_bytes",
            "test_checkpoint.py::test_a_training_that_goes_on_ends_in_the_same_bytes",
        ),
    ),
    Protection(
        "the optimizer goes on where it was",
        f"{LIBRARY}/training/state.py",
        '        self.optimizer.load_state_dict(state["optimizer"])\n',
        "",
        ("test_checkpoint.py::test_a_training_that_goes_on_ends_in_the_same_bytes",),
    ),
    Protection(
        "the older state stays until the newer one is named",
        f"{LIBRARY}/training/checkpoint.py",
        "        buffer = io.BytesIO()\n        torch.save(",
        "        self._delete_states()\n        buffer = io.BytesIO()\n        torch.save(",
        ("test_checkpoint.py::test_a_full_disk_keeps_the_checkpoint_before",),
    ),
    Protection(
        "a state is on the disk before the older one goes",
        f"{LIBRARY}/files.py",
        "            _to_disk(temporary)\n",
        "",
        ("test_checkpoint.py::test_a_power_cut_at_any_moment_leaves_a_whole_state",),
    ),
    Protection(
        "a damaged state is not gone on from",
        f"{LIBRARY}/training/checkpoint.py",
        "if hashlib.sha256(content).hexdigest() != expected:",
        "if False:",
        ("test_checkpoint.py::test_damaged_checkpoints_are_named_and_not_used",),
    ),
    Protection(
        "nothing in a state is run",
        f"{LIBRARY}/training/checkpoint.py",
        "weights_only=True",
        "weights_only=False",
        ("test_checkpoint.py::test_damaged_checkpoints_are_named_and_not_used",),
    ),
    Protection(
        "a state of another configuration, data or code is not gone on from",
        f"{LIBRARY}/training/checkpoint.py",
        "if others or identity.keys() != self.identity.keys():",
        "if False:",
        (
            "test_checkpoint.py::test_a_checkpoint_of_another_configuration_is_named_and_not_used",
            "test_checkpoint.py::test_a_checkpoint_of_other_data_or_code_is_named_and_not_used",
        ),
    ),
    Protection(
        "checkpoints are removed when the run is complete",
        f"{LIBRARY}/training/run.py",
        "    checkpoint.delete()\n",
        "",
        ("test_checkpoint.py::test_kills_at_twenty_random_moments_end_in_the_same_bytes",),
    ),
    Protection(
        "SIGTERM ends a training by an exception",
        f"{LIBRARY}/training/interruption.py",
        "    before = signal.signal(signal.SIGTERM, end)\n",
        "    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
        ("test_checkpoint.py::test_sigterm_leaves_nothing_half_written_and_says_what_to_do",),
    ),
    Protection(
        "a training out of time stops",
        f"{LIBRARY}/training/interruption.py",
        "if self.seconds is not None and spent + next_seconds > self.seconds:",
        "if False:",
        ("test_checkpoint.py::test_out_of_time_counts_as_to_be_continued",),
    ),
    # A disk that is full.
    Protection(
        "a full disk is told in one line, in each stage",
        f"{LIBRARY}/files.py",
        "        if error.errno not in _NO_ROOM:\n",
        "        if True:\n",
        WRITING,
    ),
    Protection(
        "nothing half-written stays, in each stage",
        f"{LIBRARY}/files.py",
        "            temporary.unlink(missing_ok=True)\n",
        "            pass\n",
        WRITING,
    ),
    Protection(
        "a full disk in a download is told",
        f"{LIBRARY}/datasets/transfer.py",
        '        raise InputError(\n            part, f"cannot be written',
        '        raise\n        raise InputError(\n            part, f"cannot be written',
        (
            f"{DOWNLOAD}::test_a_full_disk_in_the_middle_is_told_and_the_download_goes_on_afterwards",
        ),
    ),
    # A cache that rots.
    Protection(
        "a cache's checksum is compared",
        f"{LIBRARY}/datasets/checksum.py",
        "    if block != _block(own):\n",
        "    if False:\n",
        (
            "test_cache.py::test_every_flipped_bit_of_a_cache_is_noticed",
            "test_cache.py::test_a_cache_that_was_cut_off_is_noticed",
            "test_faults.py::test_a_cache_that_rots_is_named_and_the_next_start_recovers",
        ),
    ),
    Protection(
        "a damaged cache is made anew by the next start",
        "rules/prepare.smk",
        "        damaged=mark_of_damage,\n",
        "",
        ("test_faults.py::test_a_cache_that_rots_is_named_and_the_next_start_recovers",),
    ),
    Protection(
        "a cache that is made anew repeats no finished run",
        "rules/common.smk",
        "return ancient(path)",
        "return path",
        ("test_faults.py::test_a_cache_that_rots_is_named_and_the_next_start_recovers",),
    ),
    Protection(
        "a log that fails ends no job",
        "rules/train.smk",
        "(tee {log:q} || true)",
        "tee {log:q}",
        ("test_faults.py::test_a_log_that_cannot_be_written_ends_no_job",),
    ),
    # Two instances in one folder.
    Protection(
        "a folder is one workflow's at a time",
        "profiles/default/config.yaml",
        "keep-going: true\n",
        "keep-going: true\nnolock: true\n",
        (
            "test_faults.py::test_a_second_start_in_the_same_folder_stops_with_a_word_and_harms_nothing",
        ),
    ),
    # A server that misbehaves.
    Protection(
        "what comes is compared with its sum",
        f"{LIBRARY}/datasets/download.py",
        "    if found != expected:\n",
        "    if False:\n",
        (
            f"{DOWNLOAD}::test_wrong_bytes_never_get_the_name",
            f"{DOWNLOAD}::test_a_changed_file_under_an_unchanged_tag_is_thrown_away",
            f"{DOWNLOAD}::test_after_all_faults_in_turn_the_stage_ends_with_the_good_file",
        ),
    ),
    Protection(
        "a file that ends early is noticed",
        f"{LIBRARY}/datasets/transfer.py",
        "    if total is not None and have != total:\n",
        "    if False:\n",
        (f"{DOWNLOAD}::test_an_answer_shorter_than_its_range_is_noticed",),
    ),
    Protection(
        "a stalled connection is left",
        f"{LIBRARY}/datasets/transfer.py",
        "stream=True, timeout=TIMEOUTS)",
        "stream=True, timeout=(TIMEOUTS[0], 60))",
        (f"{DOWNLOAD}::test_a_stalled_connection_is_left_and_resumed",),
    ),
    Protection(
        "answers of 429 and 500 are tried again",
        f"{LIBRARY}/datasets/transfer.py",
        "    if status in (408, 425, 429) or status >= 500:\n",
        "    if False:\n",
        (
            f"{DOWNLOAD}::test_retry_after_is_honoured",
            f"{DOWNLOAD}::test_server_errors_are_retried_with_growing_waits",
        ),
    ),
    Protection(
        "a refusal (403) goes on to the next location",
        f"{LIBRARY}/datasets/transfer.py",
        "        raise LocationFailedError(reason)\n",
        "        return\n",
        (f"{DOWNLOAD}::test_a_refusal_goes_on_to_the_next_location_at_once",),
    ),
    Protection(
        "no redirect leads to plain HTTP",
        f"{LIBRARY}/datasets/transfer.py",
        'if parts.scheme != "https" and parts.hostname not in LOOPBACK:',
        "if False:",
        (
            f"{DOWNLOAD}::test_a_redirect_is_followed_but_not_to_plain_http",
            f"{DOWNLOAD}::test_plain_http_is_refused",
        ),
    ),
    Protection(
        "a file that changed between its parts begins again",
        f"{LIBRARY}/datasets/transfer.py",
        '        headers = {"Range": f"bytes={there.have}-", "If-Range": there.validator}\n',
        '        headers = {"Range": f"bytes={there.have}-"}\n',
        (f"{DOWNLOAD}::test_a_file_changed_between_the_parts_begins_again",),
    ),
    Protection(
        "a partial answer has to fit",
        f"{LIBRARY}/datasets/transfer.py",
        'if response.headers.get("Content-Range") != expected or validator != there.validator:',
        "if False:",
        (f"{DOWNLOAD}::test_a_partial_answer_that_does_not_fit_is_not_glued_on",),
    ),
    # An archive that was changed.
    Protection(
        "a changed file in an archive is named",
        f"{LIBRARY}/sharing/archive.py",
        "        if Content.of_bytes(content) != self.manifest.files[name]:\n",
        "        if False:\n",
        ("test_sharing.py::test_a_damaged_archive_is_refused_by_name_and_nothing_is_written",),
    ),
    Protection(
        "an archive has files of a study alone",
        f"{LIBRARY}/sharing/contents.py",
        "if name != CONFIGURATION and (own == name or not belongs(own, manifest.weights)):",
        "if False:",
        ("test_sharing.py::test_a_name_that_no_study_has_is_refused",),
    ),
    # A trained model that is used.
    Protection(
        "an exported model agrees with the trained one",
        f"{LIBRARY}/inference/onnx_check.py",
        "            if not difference <= TOLERANCE:\n",
        "            if False:\n",
        (
            "test_onnx.py::test_a_weight_that_changed_after_the_export_is_found",
            "test_onnx.py::test_padding_that_reaches_a_result_is_found",
            "test_onnx.py::test_a_model_that_does_not_agree_leaves_no_file",
        ),
    ),
    Protection(
        "two examples of one id are refused",
        f"{LIBRARY}/inference/raw_files.py",
        "        if name in places:\n",
        "        if False:\n",
        ("test_predict.py::test_an_id_that_is_there_twice_is_refused",),
    ),
)


def run_tests(project: Path, tests: tuple[str, ...]) -> dict[str, bool]:
    """Test to whether it passes, in a copy of the project.

    Raises:
        SystemExit: a test neither passed nor failed: it could not be run.
    """
    passes = {}
    for test in tests:
        command = [sys.executable, "-m", "pytest", "-q", "-x", f"tests/{test}"]
        result = subprocess.run(command, cwd=project, capture_output=True, text=True)
        if result.returncode not in (0, 1) or "error" in result.stdout.splitlines()[-1].lower():
            sys.exit(f"{test} did not run:\n{result.stdout[-3000:]}{result.stderr[-1000:]}")
        passes[test] = result.returncode == 0
    return passes


def main() -> None:
    """Take out each chosen protection, run its tests, and say which did not notice."""
    words = sys.argv[1:]
    chosen = [one for one in PROTECTIONS if not words or any(word in one.what for word in words)]
    unnoticed = []
    with tempfile.TemporaryDirectory() as temporary:
        project = copy_project(Path(temporary), parts=(".",))
        # The tests copy what git tracks.
        for command in (["init", "--quiet"], ["add", "--all"]):
            subprocess.run(["git", *command], cwd=project, check=True)
        for one in chosen:
            path = project / one.file
            whole = path.read_text(encoding="utf-8")
            if whole.count(one.text) != 1:
                sys.exit(f"{one.file}: {one.text!r} is there {whole.count(one.text)} times")
            path.write_text(whole.replace(one.text, one.without), encoding="utf-8")
            passes = run_tests(project, one.tests)
            path.write_text(whole, encoding="utf-8")
            for test, passed in passes.items():
                print(
                    f"{'PASSED' if passed else 'failed'}  without: {one.what}  {test}", flush=True
                )
                unnoticed += [test] if passed else []
        # With all of them in place, every test passes.
        tests = tuple(dict.fromkeys(test for one in chosen for test in one.tests))
        broken = [test for test, passed in run_tests(project, tests).items() if not passed]
    if unnoticed or broken:
        sys.exit(f"passed without its protection: {unnoticed}; failed with all: {broken}")
    print(f"{len(chosen)} protections: {len(tests)} tests fail without and pass with them")


if __name__ == "__main__":
    assert PROJECT.is_dir()
    main()
