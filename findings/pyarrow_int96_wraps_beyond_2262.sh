#!/bin/sh
# PyArrow reads an INT96 time of the year 9999 as one of 1816, without an error.
#
# Versions: pyarrow 21.0.0 from PyPI. INT96 is what Spark, Hive and Impala write for timestamps.
# Expected by many: a time that does not fit raises, as casting does (ArrowInvalid: ... would result in out of bounds
# timestamp).
# Seen: INT96 is read as nanoseconds since 1970 in 64 bits, which end in 2262; later times wrap around. 9999-12-31, the
# usual "for ever" of warehouses, comes back as a day of 1816. With coerce_int96_timestamp_unit="us" it is right.
set -eu
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyarrow==21.0.0
cat > see.py <<'SEE'
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

for_ever = datetime(9999, 12, 31)
table = pa.table({"until": pa.array([for_ever], pa.timestamp("us"))})
pq.write_table(table, "times.parquet", use_deprecated_int96_timestamps=True)
print(pq.read_table("times.parquet")["until"].cast(pa.timestamp("us"), safe=False)[0].as_py().year)
print(pq.read_table("times.parquet", coerce_int96_timestamp_unit="us")["until"][0].as_py().year)
try:
    table["until"].cast(pa.timestamp("ns"))
except pa.ArrowInvalid:
    print("a cast refuses it")
SEE
env/bin/python see.py | tee seen
[ "$(cat seen)" = "1816
9999
a cast refuses it" ] || { echo "CHANGED"; exit 1; }
echo "as found: read as nanoseconds, the year 9999 is 1816"
