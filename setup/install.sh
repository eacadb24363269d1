#!/bin/sh
# Installs Larder, editable, with extras, into the environment of an interpreter, from versions that were tested together.
#   sh setup/install.sh PYTHON EXTRAS [CONSTRAINTS]
set -e
here=$(dirname "$0")
python=$1 extras=$2 constraints=$3
[ -n "$constraints" ] || constraints=$("$python" "$here/constraints.py")

# uv finds the same versions as pip in a tenth of the time. It does not read pip's own settings, so where packages come from
# a mirror that only pip knows, pip does it. Where uv says that no versions fit, pip would search for hours and say the same.
said=$(mktemp)
trap 'rm -f "$said"' EXIT
if "$python" -m pip install --quiet --disable-pip-version-check uv 2>/dev/null &&
    "$python" -m uv pip install --quiet --python "$python" --constraint "$constraints" --editable ".[$extras]" 2>"$said"; then
    :
elif grep -q "No solution found" "$said"; then
    cat "$said" >&2
    exit 1
else
    "$python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" --editable ".[$extras]"
fi
case ",$extras," in
*,vision,*)
    # Its requirements are narrower than its code: docs/decisions/0021-elephas-without-its-metadata.md
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python elephas==7.3.0
    ;;
esac
