#!/bin/sh
# create_venv.sh PYTHON DIRECTORY: make a virtual environment, or say in one sentence what is missing for it.
set -eu
python=$1
directory=$2

fail() {
    echo "$*" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    fail "$python was not found. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" -V 2>&1), and servicekit needs 3.11 or newer. Name another: make PYTHON=python3.13 ..."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install -y python3-venv"
# Over what an interrupted attempt may have left there.
"$python" -m venv --clear "$directory"
