#!/bin/sh
# Runs tests and a small demo on other lines of the matrix, each in an environment of its own below .matrix/.
#   sh setup/matrix.sh [LINE ...]      lines: lowest spark-3.5 spark-4.1 spark-4.2 newest
#   MATRIX_TESTS                       arguments of pytest (default: the tests that start no servers, and those of
#                                      tests/compatibility and tests/jobs/events)
#   MATRIX_DEMO                        arguments of the demo (default: a month of a year, 200 pictures); empty: no demo
# A line whose Python is not on this machine is passed over, and said so.
set -e
cd "$(dirname "$0")/.."
lines=${*:-lowest spark-3.5 spark-4.1 spark-4.2 newest}
tests=${MATRIX_TESTS:-"-m 'not end_to_end and not slow' tests"}
demo=${MATRIX_DEMO-"--start 2017-11-01 --as-of 2017-12-04 --end 2017-12-11 --pictures 200 --impressions 1 --port 0"}
extras=jobs,vision,search,lookup,journey,kafka,client,demo,dev
parallel="-n ${TEST_PROCESSES:-2} --dist loadscope --no-loadscope-reorder"
export JAVA_HOME="${JAVA_HOME:-$(sh setup/find_java.sh)}"
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

# The demo's settings with everything that it writes below .matrix/demo-LINE.
settings_of() {
    sed "s#\"\.\./\.demo#\"$PWD/.matrix/demo-$1#; s#\"weights.json\"#\"$PWD/demo/weights.json\"#" demo/larder.toml
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
    said=passed
    sh -c "exec $venv/bin/python -m pytest $parallel $tests" || said=failed
    if [ -z "$MATRIX_TESTS" ]; then
        sh -c "exec $venv/bin/python -m pytest $parallel tests/compatibility tests/jobs/events" || said=failed
    fi
    if [ -n "$demo" ]; then
        rm -rf ".matrix/demo-$line"
        settings_of "$line" >".matrix/demo-$line.toml"
        # shellcheck disable=SC2086
        "$venv/bin/python" -m demo --settings ".matrix/demo-$line.toml" $demo </dev/null || said=failed
    fi
    echo "matrix: $line $said"
    [ $said = passed ] || failed="$failed $line"
done
[ -z "$failed" ] || { echo "matrix: failed:$failed" >&2; exit 1; }
