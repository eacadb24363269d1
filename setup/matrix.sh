#!/bin/sh
# Runs the fast tests on other lines of the matrix, each in an environment of its own below .matrix/.
#   sh setup/matrix.sh [LINE ...]      lines: lowest spark-3.5 spark-4.1 spark-4.2 newest
#   MATRIX_TESTS                       arguments of pytest (default: the tests that start no servers)
# A line whose Python is not on this machine is passed over, and said so.
set -e
cd "$(dirname "$0")/.."
lines=${*:-lowest spark-3.5 spark-4.1 spark-4.2 newest}
tests=${MATRIX_TESTS:-"-m 'not end_to_end and not slow'"}
extras=jobs,vision,search,lookup,journey,kafka,client,demo,dev
failed=

python_of() {
    case $1 in
    lowest) echo 3.10 ;;
    spark-3.5) echo 3.11 ;;
    spark-4.1 | spark-4.2) echo 3.12 ;;
    newest) echo 3.13 ;;
    *)
        echo "there is no line $1" >&2
        exit 2
        ;;
    esac
}

find_python() {
    for python in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python /usr/local/bin/python"$1"; do
        if "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

for line in $lines; do
    wanted=$(python_of "$line")
    python=$(find_python "$wanted")
    if [ -z "$python" ]; then
        echo "matrix: $line passed over: no Python $wanted here"
        continue
    fi
    venv=.matrix/$line
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    sh setup/install.sh "$venv/bin/python" "$extras" "constraints/$line.txt"
    if JAVA_HOME=${JAVA_HOME:-$(sh setup/find_java.sh)} sh -c "exec $venv/bin/python -m pytest -q $tests"; then
        echo "matrix: $line passed"
    else
        failed="$failed $line"
    fi
done
[ -z "$failed" ] || { echo "matrix: failed:$failed" >&2; exit 1; }
