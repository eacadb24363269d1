"""Starts a job's Spark session: options given to spark-submit win, the others come from the settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from larder.jobs.runtime.devices import RESOURCE
from larder.jobs.runtime.notices import tell
from larder.jobs.runtime.spark_versions import java_versions
from larder.settings import Settings, SparkSettings
from larder.storage import s3
from larder.storage.event_folders import first_line

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
GPU_SCRIPT = Path(__file__).with_name("find_gpus.sh")


# Options with which rows are read and compared. Any other value would change the bytes of tables.
REQUIRED = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled")


class SessionError(RuntimeError):
    """Spark cannot be started; the message says what to check."""


@contextmanager
def spark_session(name: str, settings: Settings) -> Iterator[SparkSession]:
    """Yields a session for one job, and stops it at the end. Raises SessionError."""
    spark = start_session(name, settings)
    try:
        yield spark
    except BaseException:
        # If Java has ended, stopping fails too, and would hide the error that matters.
        with suppress(Exception):
            spark.stop()
        raise
    spark.stop()


def start_session(name: str, settings: Settings) -> SparkSession:
    """Returns a new session. Under spark-submit, its master and memory are kept. Raises SessionError."""
    # Executors need pyarrow and elephas, which this interpreter has.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(f"larder {name}")
    if not under_spark_submit():
        builder = builder.master(settings.spark.master)
        builder = builder.config("spark.driver.memory", settings.spark.driver_memory)
        builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        builder = builder.config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={LOG_SETTINGS}")
        if settings.spark.packages:
            builder = builder.config("spark.jars.packages", ",".join(settings.spark.packages))
        if settings.spark.master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    try:
        for option, value in _not_given(_options(settings)).items():
            builder = builder.config(option, value)
        spark = builder.getOrCreate()
    except PySparkRuntimeError as error:  # Java did not start, and wrote the reason to standard error
        versions = " or ".join(map(str, java_versions()))
        raise SessionError(
            f"{first_line(error)} Spark needs Java {versions}: is JAVA_HOME right (`larder doctor` shows it)? "
            "Are spark.master, spark.driver_memory, spark.packages and spark.options right?"
        ) from None
    except Py4JJavaError as error:
        raise SessionError(
            f"Spark did not start: {_innermost(error)}; are spark.master, spark.packages and spark.options right?"
        ) from None
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _innermost(error: Py4JJavaError) -> str:
    """Returns the first line of the innermost cause."""
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.getMessage()).partition("\n")[0]


def _not_given(options: Mapping[str, str]) -> dict[str, str]:
    """Returns the options that spark-submit was not given by --conf, --properties-file or spark-defaults.conf.

    Those of REQUIRED are always kept: other values would change what a job writes.
    """
    if not under_spark_submit():
        return dict(options)
    SparkContext._ensure_initialized()  # connects to the JVM that spark-submit started, which knows what it was given
    given = SparkConf()
    for option in REQUIRED:
        if given.get(option, options[option]).lower() != options[option].lower():
            tell(f"{option} is {options[option]} in every job, not {given.get(option)} as spark-submit was told")
    return {name: value for name, value in options.items() if name in REQUIRED or not given.contains(name)}


def under_spark_submit() -> bool:
    """Returns whether spark-submit started this process, which then has a JVM already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _options(settings: Settings) -> dict[str, str]:
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        # A bad value becomes null and is quarantined with its reason, instead of failing the job.
        "spark.sql.ansi.enabled": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.files.openCostInBytes": "262144",  # so that a task reads many small files
        # With the default, listing a year of hours would take a task an hour.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
        **s3.spark_options(os.environ),
        **_gpu_options(settings.spark),
        **settings.spark.options,
    }


def _gpu_options(spark: SparkSettings) -> dict[str, str]:
    """Returns the options by which Spark assigns GPUs to tasks; devices.py makes TensorFlow use only those."""
    if not spark.gpus:
        return {}
    options = {
        f"spark.executor.resource.{RESOURCE}.amount": str(spark.gpus),
        f"spark.executor.resource.{RESOURCE}.discoveryScript": spark.gpu_script or str(GPU_SCRIPT),
        f"spark.task.resource.{RESOURCE}.amount": f"{spark.gpus_of_task:g}",
    }
    if spark.gpus > 1:  # a process sees the GPUs of its first task, and the next may be assigned another
        options["spark.python.worker.reuse"] = "false"
    return options
