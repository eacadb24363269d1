#!/bin/sh
# spark-submit merges what a Python driver writes to standard error into its own standard output.
#
# Versions: pyspark 4.0.0 from PyPI, Python 3.11, Java 17.
# Expected by many: `spark-submit job.py 2>errors.log` puts the driver's error lines into errors.log.
# Seen: in client mode the driver is started with its two streams joined, so the line written to standard error comes out
# of spark-submit's standard output, between the lines of results. Only the JVM's own log is on standard error. Run by
# python itself, the same script keeps the two apart.
set -eu
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyspark==4.0.0
cat > job.py <<'JOB'
import sys

print("to standard output", flush=True)
print("to standard error", file=sys.stderr, flush=True)
JOB
export PYSPARK_PYTHON="$work/env/bin/python" PYSPARK_DRIVER_PYTHON="$work/env/bin/python"
env/bin/spark-submit --master 'local[1]' job.py > submitted.out 2> submitted.err
env/bin/python job.py > plain.out 2> plain.err

[ "$(cat plain.out)" = "to standard output" ]
[ "$(cat plain.err)" = "to standard error" ]
[ "$(cat submitted.out)" = "to standard output
to standard error" ] || { echo "CHANGED: spark-submit keeps the streams apart now"; exit 1; }
if grep -q "to standard error" submitted.err; then
    echo "CHANGED: the line is on standard error now"
    exit 1
fi
echo "as found: both lines came out of spark-submit's standard output"
