"""The Spark session of a job: what spark-submit set is kept, the rest comes from the settings."""

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
from larder.settings import Settings, SparkSettings
from larder.storage import s3
from larder.storage.event_folders import first_line

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
GPU_SCRIPT = Path(__file__).with_name("find_gpus.sh")


# Options with which rows are read and compared. Any other value would change the bytes of tables.
REQUIRED = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled")


class SessionError(RuntimeError):
    """Spark can't be started; the message says what to look at."""


@contextmanager
def spark_session(name: str, settings: Settings) -> Iterator[SparkSession]:
    """A session for one job, stopped at the end."""
    spark = start_session(name, settings)
    try:
        yield spark
    except BaseException:
        # Where Java is gone, stopping fails too, and that must not take the place of what went wrong.
        with suppress(Exception):
            spark.stop()
        raise
    spark.stop()


def start_session(name: str, settings: Settings) -> SparkSession:
    """A session; under spark-submit the master and memory are what spark-submit said. Raises SessionError."""
    # Executors must run this interpreter, or pyarrow and elephas are missing there.
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
    except PySparkRuntimeError as error:  # Java never came up, and has said on standard error why
        raise SessionError(
            f"{first_line(error)} Spark needs Java 17 or 21: is JAVA_HOME right (`sh setup/find_java.sh` prints one)? "
            f"Are spark.master, spark.driver_memory, spark.packages and spark.options?"
        ) from None
    except Py4JJavaError as error:
        raise SessionError(
            f"Spark did not start: {_innermost(error)}; are spark.master, spark.packages and spark.options right?"
        ) from None
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _innermost(error: Py4JJavaError) -> str:
    """The words of the cause that all others pass on."""
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
            print(
                f"larder: {option} is {options[option]} in every job, not {given.get(option)} as spark-submit was told",
                file=sys.stderr,
            )
    return {name: value for name, value in options.items() if name in REQUIRED or not given.contains(name)}


def under_spark_submit() -> bool:
    """Whether spark-submit started this process: it has a JVM already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _options(settings: Settings) -> dict[str, str]:
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        # A bad value becomes null and is quarantined with its reason, instead of failing the job.
        "spark.sql.ansi.enabled": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.files.openCostInBytes": "262144",  # many small files a task
        # Else listing a year of hours is a task an hour.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
        **s3.spark_options(os.environ),
        **_gpu_options(settings.spark),
        **settings.spark.options,
    }


def _gpu_options(spark: SparkSettings) -> dict[str, str]:
    """Spark hands each task its GPUs; jobs/runtime/devices.py tells TensorFlow."""
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
