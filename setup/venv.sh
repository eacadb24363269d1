#!/bin/sh
# Makes the virtual environment $1 with a Python that Larder was tested on.
venv=$1
[ -x "$venv/bin/python" ] && exit 0
for python in python3.11 python3.12 python3.13 python3.10 python3; do
    if command -v $python >/dev/null && $python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
        $python -m venv "$venv" && exit 0
        rm -rf "$venv"
        echo "$python has no venv module. Debian, Ubuntu:  sudo apt-get install python3-venv" >&2
        exit 1
    fi
done
echo "larder needs Python 3.10, 3.11, 3.12 or 3.13, and found none on the PATH." >&2
exit 1
