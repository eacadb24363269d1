"""What belongs to the installed Spark: the versions of Java that it runs on, and its release of Hadoop."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Java by minor release of Spark, as "Downloading" in Spark's documentation says.
SPARK_JAVA = {"3.5": (8, 11, 17), "4.0": (17, 21), "4.1": (17, 21), "4.2": (17, 21, 25), "4.3": (17, 21, 25)}
LEAST_JAVA = (17,)


def spark_version() -> str | None:
    """Returns the version of the installed PySpark, or None."""
    try:
        return version("pyspark")
    except PackageNotFoundError:
        return None


def java_versions() -> tuple[int, ...]:
    """Returns the major versions of Java that the installed Spark runs on."""
    return SPARK_JAVA.get(".".join((spark_version() or "").split(".")[:2]), LEAST_JAVA)


def hadoop_version() -> str | None:
    """Returns the version of the Hadoop client in $SPARK_HOME or the installed PySpark, or None without one.

    The package hadoop-aws must have this very version: it uses classes of the client that change between releases.
    """
    try:
        import pyspark
    except ImportError:
        return None
    homes = [Path(pyspark.__file__).parent]
    if os.environ.get("SPARK_HOME"):
        homes.insert(0, Path(os.environ["SPARK_HOME"]))
    for home in homes:
        for jar in (home / "jars").glob("hadoop-client-api-*.jar"):
            return jar.stem.removeprefix("hadoop-client-api-")
    return None


def s3_package() -> str:
    """Returns the Maven coordinates of the hadoop-aws that belongs to the installed Spark."""
    return f"org.apache.hadoop:hadoop-aws:{hadoop_version() or 'VERSION'}"
