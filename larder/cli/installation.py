"""What Larder runs on: the machine, the interpreter, Java, Spark and the packages of each extra."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from larder.jobs.runtime.spark_versions import hadoop_version, java_versions, s3_package

# The packages whose versions matter, by the extra that brings them; "" for those that every installation has.
PACKAGES = {
    "": ("larder", "numpy", "pydantic", "redis", "typer", "xxhash"),
    "lookup": ("uvloop", "httptools", "hiredis"),
    "jobs": ("pyspark", "pyarrow", "pandas", "numba", "boto3"),
    "vision": ("tensorflow", "keras", "elephas", "pillow"),
    "airflow": ("apache-airflow", "apache-airflow-providers-apache-spark"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do if it is wrong. `needed`: nothing runs without it."""

    name: str
    state: str
    remedy: str = ""
    needed: bool = True


def machine() -> list[Finding]:
    """Returns system, cores, memory and Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        Finding("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Finding("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
        Finding("memory", f"{memory:.1f} GiB"),
        Finding("python", f"{platform.python_version()} at {sys.executable}"),
    ]


def versions() -> list[Finding]:
    """Returns the versions of packages, of Java, and of what Spark needs beside it."""
    found = [_extra(extra, packages) for extra, packages in PACKAGES.items()]
    spark = installed("pyspark")
    if spark:
        found += [_java(spark), _hadoop(spark), *_client(spark)]
    return found


def _client(spark: str) -> list[Finding]:
    """Airflow's Spark provider installs pyspark-client, whose files lie over those of pyspark."""
    client = installed("pyspark-client")
    if client is None or client == spark:
        return []
    state = f"{client} lies over the files of pyspark {spark}"
    return [Finding("pyspark-client", state, f"pip install 'pyspark-client=={spark}' 'pyspark=={spark}'")]


def installed(package: str) -> str | None:
    """Returns the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extra(extra: str, packages: tuple[str, ...]) -> Finding:
    found = {package: installed(package) for package in packages}
    text = ", ".join(f"{package} {number}" for package, number in found.items() if number) or "not installed"
    missing = [package for package, number in found.items() if not number]
    remedy = f"if you need it: pip install 'larder[{extra}]'" if missing and extra else ""
    if missing and len(missing) < len(packages):
        text += f"; without {', '.join(missing)}"
    return Finding(f"larder[{extra}]" if extra else "larder", text, remedy, needed=False)


def _java(spark: str) -> Finding:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    remedy = "install a JDK that this Spark runs on, or set JAVA_HOME to one"
    if not java or not Path(java).exists():
        return Finding("java", f"not found ({java or 'no java on PATH'})", remedy)
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("java", f"{java} does not run: {error}", remedy)
    number = re.search(r'version "(?:1\.)?(\d+)', said)
    major = int(number[1]) if number else 0
    supported = java_versions()
    text = f"{major} at {java}; Spark {spark} runs on {', '.join(map(str, supported))}"
    return Finding("java", text, "" if major in supported else remedy)


def _hadoop(spark: str) -> Finding:
    hadoop = hadoop_version()
    if hadoop is None:
        return Finding("hadoop", "this PySpark has no Hadoop client", "install pyspark instead of pyspark-client")
    return Finding("hadoop", f"{hadoop}; for s3a:// places use --packages {s3_package()}")
