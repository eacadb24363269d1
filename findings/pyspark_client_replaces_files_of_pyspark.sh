#!/bin/sh
# pyspark-client installs over the files of pyspark, and removing it breaks pyspark.
#
# Versions: pyspark 4.0.0 and pyspark-client 4.0.1 from PyPI, pip 24 or newer. apache-airflow-providers-apache-spark 6 requires
# pyspark-client, so this meets anybody who has Airflow's Spark provider and PySpark in one environment.
# Expected by many: two distributions of different names stand beside each other, or pip refuses the second.
# Seen: both own the folder pyspark/. pip lists pyspark 4.0.0 and `import pyspark` says 4.0.1. After `pip uninstall
# pyspark-client`, pip still lists pyspark 4.0.0, and it can't be imported any more.
set -eu
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyspark==4.0.0
env/bin/pip install --quiet --disable-pip-version-check --no-deps pyspark-client==4.0.1
version() { env/bin/python -c "import importlib.metadata as m; print(m.version('$1'))"; }

[ "$(version pyspark)" = 4.0.0 ]
imported=$(env/bin/python -c "import pyspark; print(pyspark.__version__)")
echo "pip says pyspark $(version pyspark), import says $imported"
[ "$imported" = 4.0.1 ] || { echo "CHANGED: the files are no longer replaced"; exit 1; }
env/bin/pip uninstall --quiet --yes pyspark-client
[ "$(version pyspark)" = 4.0.0 ]
if env/bin/python -c "from pyspark.sql import SparkSession" 2> error; then
    echo "CHANGED: pyspark still imports after pyspark-client was removed"
    exit 1
fi
tail -1 error
echo "as found: pip still lists pyspark 4.0.0, and it can't be imported"
