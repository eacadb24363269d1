#!/bin/sh
# PyArrow 26 can't be imported beside NumPy 1.26, and neither pip's resolver nor pip check objects.
#
# Versions: pyarrow 26.0.1, numpy 1.26.4 from PyPI, Python 3.11.
# Expected by many: an installation that pip resolved, and that pip check calls sound, can be imported; or pip takes the
# last PyArrow that fits (25.0.0, which imports beside NumPy 1.26).
# Seen: PyArrow's wheel names no requirement on NumPy at all, so nothing keeps the two apart; the import raises
# ImportError: pyarrow requires NumPy 2.0 or newer.
set -eu
python=${PYTHON:-python3.11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==1.26.4 pyarrow==26.0.1
env/bin/pip check --disable-pip-version-check
if env/bin/python -c "import pyarrow" 2>said; then
    echo "changed: it imports"
    exit 1
fi
tail -n 1 said | grep "requires NumPy 2.0 or newer, found 1.26.4"
