#!/bin/sh
# Sets cosface beside PyTorch and ONNX Runtime on the same work, alternating in one run, and prints a Markdown table.
#
#   bench/compare.sh [--python PYTHON] [--venv DIR] [--program COSFACE] [--rounds N] [--work NAME]...
#
# --python PYTHON   an interpreter that has torch (and onnxruntime and onnx for that column); nothing is installed
# --venv DIR        where to make a virtual environment otherwise; outside the repository unless given
# The other options are those of compare.py, which `--help` lists. pip's own settings (PIP_INDEX_URL and the like)
# are honoured. Neither the build nor the tests need any of this.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=
venv=${XDG_CACHE_HOME:-$HOME/.cache}/cosface-compare
program=
arguments=
while [ $# -gt 0 ]; do
    case $1 in
    --python) python=${2:?--python needs an interpreter}; shift 2 ;;
    --venv) venv=${2:?--venv needs a directory}; shift 2 ;;
    --program) program=${2:?--program needs a file}; shift 2 ;;
    --help | -h) exec python3 "$here/compare.py" --help ;;
    *) arguments="$arguments '$(printf %s "$1" | sed "s/'/'\\\\''/g")'"; shift ;;
    esac
done
if [ -z "$python" ]; then
    python=$venv/bin/python
    if [ ! -x "$python" ]; then
        python3 -m venv "$venv"
    fi
    # PyPI's Linux wheel of torch does not load without its CUDA libraries, some gigabytes; an index with processor-only
    # wheels, named in PIP_INDEX_URL, saves them.
    "$python" -m pip install --quiet torch numpy onnx onnxruntime
fi
if [ -z "$program" ]; then
    (cd "$here/.." && cargo build --release --quiet)
    program=$here/../target/release/cosface
fi
eval "exec \"\$python\" \"\$here/compare.py\" --program \"\$program\" $arguments"
