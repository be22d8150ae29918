#!/usr/bin/env bash
# Make the virtual environment .venv from requirements.lock, unless it is there already.
#
# PYTHON names the interpreter to use; otherwise the first of python3, python3.13, python3.12
# and python3.11 that is new enough. On Linux, pip takes torch's CUDA build from PyPI; for the
# much smaller CPU build, set PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

lock=requirements/requirements.lock
# A copy of the lock, written last: an interrupted or outdated set-up has none, or another one.
installed=.venv/installed.lock

if cmp -s "$lock" "$installed" && .venv/bin/python -c ''; then
    exit 0
fi

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            # What it is based on, if it is itself of a virtual environment: of .venv, say, about to be deleted.
            "$candidate" -c 'import sys; print(sys._base_executable)'
            return
        fi
        # A Python asked for by name is not silently replaced by another one.
        if [[ -n ${PYTHON:-} ]]; then
            break
        fi
    done
    echo "error: ${PYTHON:-python3}: Python 3.11 or newer is needed, found" \
        "$("${PYTHON:-python3}" --version 2>&1 || true)." \
        "Install one and name it: make setup PYTHON=/path/to/python3.11" >&2
    return 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "error: $python: cannot make virtual environments (no module venv or ensurepip)." \
        "Install them; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi

echo "Installing $(grep -c == "$lock") locked packages into .venv (once; some minutes and 2 GB)"
rm -rf .venv
"$python" -m venv .venv
.venv/bin/python -m pip install --disable-pip-version-check --requirement "$lock"
cp "$lock" "$installed"
