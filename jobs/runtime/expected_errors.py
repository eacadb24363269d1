"""Turns errors that an operator can mend into one line and an exit code; other errors keep their traceback."""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from larder.jobs.runtime.printable_text import printable
from larder.jobs.runtime.spark_versions import s3_package

# Larder raises exception classes of its own on purpose, with a message that names what is wrong and the remedy. A plain
# ValueError, or another package's exception, is a mistake of Larder's, and its traceback is needed.
OURS = ("__main__", "larder")
OF_S3 = ("botocore", "boto3")
# Packages of extras; all others come with larder[jobs].
EXTRA_OF = {
    **dict.fromkeys(("hiredis", "httptools", "librt", "uvloop"), "lookup"),
    **dict.fromkeys(("tensorflow", "elephas", "PIL"), "vision"),
    "optuna": "search",
}
OF_SPARK = ("py4j", "pyspark")
NEWLINE = "\n"
READING = re.compile(r"\[FAILED_READ_FILE\.\w+] Encountered error while reading file (.+?)\.\s+(.*)")
MISSING_STORE = re.compile(r"(S3AFileSystem) not found|No FileSystem for scheme \"?(\w+)")
CAUSE = re.compile(r"^Caused by: (.*)", re.MULTILINE)
TRACEBACK, OF_JAVA = "Traceback (most recent call last):\n", "\n\tat "


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Prints an error that an operator can mend, and exits with its `exit_code` or 1; raises any other again."""
    try:
        yield
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        print(f"larder: {printable(line, keep=NEWLINE)}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


def explained(error: Exception) -> str | None:
    """Returns the line for the operator, or None if the error is a mistake of Larder's."""
    package = type(error).__module__.partition(".")[0]
    if package in OURS or isinstance(error, argparse.ArgumentTypeError):
        return str(error)
    if package in OF_SPARK:
        return _without_package(str(error)) or _of_task(str(error))
    if isinstance(error, redis.RedisError):
        return f"Redis: {error}; is redis.url right, and the server up?"
    if package in OF_S3:
        return f"S3: {error}; are [storage], [s3] and the AWS_* variables right, and is the store up?"
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").partition(".")[0]
        if not missing:  # raised on purpose, with a remedy of its own
            return str(error)
        if missing in OURS:
            return None
        extra = EXTRA_OF.get(missing, "jobs")
        return f"{error}; install the extra that brings it: pip install 'larder[{extra}]'"
    if isinstance(error, OSError):
        return _of_system(error)
    return None


def _without_package(text: str) -> str | None:
    """Returns the remedy if Spark lacks the package for a store, or None for any other error."""
    missing = MISSING_STORE.search(text)
    if missing is None:
        return None
    scheme = missing.group(2) or "s3a"
    remedy = f'set spark.packages = ["{s3_package()}"], which belongs to this Spark'
    if scheme not in ("s3", "s3a", "s3n"):
        remedy = "name a local path, or one of s3a:// or hdfs://"
    return f"Spark can't read {scheme}://, it has no package for it; {remedy}"


def _of_task(text: str) -> str | None:
    """Returns the message of the error that made a task fail, or None if it is not one of Larder's.

    Spark's text has Python's tracebacks, a cause before its effect, and then those of Java.
    """
    unreadable = READING.search(text)
    if unreadable:
        file, told = unreadable.groups()
        reasons = [reason for reason in (told.partition("SQLSTATE")[0].strip(), *CAUSE.findall(text)[-1:]) if reason]
        return (
            f"{file} can't be read: {' '.join(reasons)}; run it again; if that does not help, put the file right, or "
            f"where it is of one of Larder's tables, remove it and make that table again"
        )
    _, _, tracebacks = text.partition(TRACEBACK)
    lines = tracebacks.partition(OF_JAVA)[0].rpartition(TRACEBACK)[2].splitlines()
    # Every line of a traceback is indented, except the error at its end.
    ends = [number for number, line in enumerate(lines) if line and not line.startswith(" ")]
    if not ends:
        return None
    name, _, message = "\n".join(lines[ends[0] :]).strip().partition(": ")
    return f"{message} (in a task of Spark)" if name.partition(".")[0] in OURS else None


def _of_system(error: OSError) -> str | None:
    """Returns the line for an error of a file, a full disk or S3, or None.

    None for errors that say nothing by themselves, such as a refused connection to a Java process that has ended.
    """
    if error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if "AWS" in str(error):
        return f"{error}; are [storage], [s3] and the AWS_* variables right, and is the store up?"
    return str(error) if error.errno == errno.ENOSPC else None
