"""The Spark session under spark-submit: what spark-submit was given wins, but for what every table depends on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

SHOW = """
import json, sys
from larder.jobs.runtime.session import spark_session
from larder.settings import load_settings

with spark_session("show", load_settings(sys.argv[1])) as spark:
    conf = spark.sparkContext.getConf()
    names = json.loads(sys.argv[2])
    print(json.dumps({name: spark.conf.get(name, conf.get(name, "")) for name in names}))
"""
SETTINGS = """
[spark]
shuffle_partitions = 6
driver_memory = "600m"
options = { "spark.sql.adaptive.enabled" = "false", "spark.app.shop" = "ours" }
"""
ASKED = [
    *("spark.sql.shuffle.partitions", "spark.driver.memory", "spark.sql.adaptive.enabled", "spark.app.shop"),
    *("spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.files.openCostInBytes"),
]


@pytest.mark.end_to_end
def test_what_spark_submit_is_given_wins_over_the_settings(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "larder.toml").write_text(SETTINGS)
    (tmp_path / "spark.properties").write_text("spark.sql.adaptive.enabled true\nspark.sql.ansi.enabled true\n")
    submit = shutil.which("spark-submit", path=os.environ["PATH"]) or str(Path(sys.executable).parent / "spark-submit")
    command = [
        *(submit, "--master", "local[1]", "--driver-memory", "700m"),
        *("--conf", "spark.sql.shuffle.partitions=3", "--properties-file", str(tmp_path / "spark.properties")),
        *("--conf", "spark.sql.session.timeZone=Asia/Tokyo"),
        *(str(tmp_path / "show.py"), str(tmp_path / "larder.toml"), json.dumps(ASKED)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    environment |= {"PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "spark.sql.shuffle.partitions": "3",
        "spark.driver.memory": "700m",
        "spark.sql.adaptive.enabled": "true",
        "spark.app.shop": "ours",  # from the settings: nobody gave another
        "spark.sql.session.timeZone": "UTC",  # every table depends on it
        "spark.sql.ansi.enabled": "false",  # likewise
        "spark.sql.files.openCostInBytes": "262144",
    }
    # spark-submit merges what a Python driver writes to standard error into its standard output.
    told = [line for line in done.stdout.splitlines() if line.startswith("larder:")]
    assert told == [
        "larder: spark.sql.session.timeZone is UTC in every job, not Asia/Tokyo as spark-submit was told",
        "larder: spark.sql.ansi.enabled is false in every job, not true as spark-submit was told",
    ]
