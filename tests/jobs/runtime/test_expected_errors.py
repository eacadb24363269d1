"""What can be put right is told in a line, however a job was started; a mistake of ours keeps its traceback."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from repository import ROOT

from larder.jobs.als.interaction_blocks import NoStrengthError
from larder.jobs.evaluate import GateError
from larder.jobs.runtime.devices import OtherDevicesError
from larder.jobs.runtime.expected_errors import errors_in_a_line, explained
from larder.models.ranking.purchase_model_fit import NothingToLearnError
from larder.settings import SettingsError
from larder.storage import MissingPartitionError

JOBS = sorted(path for path in (ROOT / "jobs").glob("*.py") if "def main(" in path.read_text())
LOADING = ["jobs/load_redis.py", "--as-of", "2017-12-04", "--without-spark"]
OF_A_SCRIPT = type("GateError", (RuntimeError,), {"__module__": "__main__"})


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MissingPartitionError("table x has no partition y"), "table x has no partition y"),
        (SettingsError("no settings file"), "no settings file"),
        (GateError("worse than popularity"), "worse than popularity"),
        (OF_A_SCRIPT("worse than popularity"), "worse than popularity"),
        (NoStrengthError("no strength"), "no strength"),
        (NothingToLearnError("nothing to learn"), "nothing to learn"),
        (PermissionError(errno.EACCES, "Permission denied", "/tables"), "/tables: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (ModuleNotFoundError("pip install 'larder[demo]'"), "pip install 'larder[demo]'"),
        (OSError("AWS Error"), "AWS Error; are [storage], [s3] and the AWS_* variables right, and is the store up?"),
        (
            ModuleNotFoundError("No module named 'optuna'", name="optuna"),
            "No module named 'optuna'; install the extra that brings it: pip install 'larder[search]'",
        ),
        (redis.ConnectionError("refused"), "Redis: refused; is redis.url right, and the server up?"),
    ],
)
def test_what_can_be_put_right_is_a_line(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, errors_in_a_line():
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (1, f"larder: {line}\n")


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("bad"), KeyError("a"), LookupError("b"), AssertionError()),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),  # by a Java that is gone
        ModuleNotFoundError("No module named 'larder.sales'", name="larder.sales"),
    ],
)
def test_a_mistake_of_ours_is_not(error: Exception) -> None:
    with pytest.raises(type(error)), errors_in_a_line():
        raise error


@pytest.mark.end_to_end
@pytest.mark.parametrize("by_rows", [True, False])
def test_what_a_task_can_not_do_is_a_line_too(
    spark: SparkSession, capsys: pytest.CaptureFixture[str], by_rows: bool
) -> None:
    def refuse(_: Iterable[object]) -> Iterator[pa.RecordBatch]:
        raise OtherDevicesError("Spark assigned GPU 1")

    with pytest.raises(SystemExit), errors_in_a_line():
        if by_rows:
            spark.sparkContext.parallelize([1], 1).mapPartitions(refuse).collect()
        else:
            spark.range(1).mapInArrow(refuse, "id long").collect()
    assert capsys.readouterr().err == "larder: Spark assigned GPU 1 (in a task of Spark)\n"


@pytest.mark.end_to_end
def test_of_a_task_the_error_that_ended_it_counts(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: Iterable[object], mistake: bool) -> Iterator[object]:
        try:
            raise OtherDevicesError("the cause")
        except OtherDevicesError as error:
            if mistake:
                raise KeyError("x") from error
            raise NoStrengthError("two\nlines") from error

    for mistake in (True, False):
        rows = spark.sparkContext.parallelize([1], 1).mapPartitions(lambda rows, m=mistake: refuse(rows, m))
        with pytest.raises(Py4JJavaError if mistake else SystemExit), errors_in_a_line():
            rows.collect()
    assert capsys.readouterr().err == "larder: two\nlines (in a task of Spark)\n"


@pytest.mark.end_to_end
@pytest.mark.parametrize("read", ["rows", "arrow", "schema"])
def test_a_file_that_spark_can_not_read_is_named(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], read: str
) -> None:
    path = tmp_path / "a.b.parquet"
    path.write_bytes(b"no Parquet at all" * 10)
    with pytest.raises(SystemExit), errors_in_a_line():
        if read == "schema":
            spark.read.parquet(str(path))
        frame = spark.read.schema("id long").parquet(str(path))
        frame.toArrow() if read == "arrow" else frame.collect()
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"larder: file:\S+/a\.b\.parquet can't be read: .*is not a Parquet file.*; run it again; if .+ again\n", said
    )


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.stem)
def test_every_job_ends_so_under_spark_submit(job: Path) -> None:
    assert job.read_text().endswith("    with errors_in_a_line():\n        main()\n")


@pytest.mark.end_to_end
def test_a_job_that_is_run_as_a_file_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "larder.toml").write_text("[storage]\ntables = 'tables'\n[redis]\ndirectory = 'redis'\n")
    command = [sys.executable, *LOADING, "--settings", str(tmp_path / "larder.toml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("larder: table release has no partition as_of=2017-12-04T00 under ")
    assert done.stderr.endswith("make it with `larder precompute --as-of 2017-12-04T00`\n")


@pytest.mark.end_to_end
def test_without_java_spark_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "larder.jobs.train_als", "--as-of", "2017-12-04"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAVA_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Spark needs Java 17 or 21: is JAVA_HOME right" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found", "spark.packages"),
        ('org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "s3"', "spark.packages"),
        ('org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "gs"', "name a local path"),
    ],
)
def test_a_missing_package_for_a_store_is_one_line(text: str, told: str) -> None:
    line = explained(PySparkException(f"{text}\n\tat org.apache.hadoop.conf.Configuration.getClass"))
    assert line is not None
    assert told in line
    assert "\n" not in line
