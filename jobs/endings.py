"""How a job or a verb ends that cannot do what it was told: with one line for people and exit code 1."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import redis

# An exception class of our own is raised on purpose, with a message that names what is wrong and what to do. A plain
# ValueError, or another's exception, is a mistake of ours, and keeps its traceback.
OURS = ("__main__", "jobs", "models", "loaders", "lookup", "journey", "storage", "settings", "larder")
OF_S3 = ("botocore", "boto3")
# Packages of extras; all others come with larder[jobs].
EXTRA_OF = {"granian": "lookup", "optuna": "search", "tensorflow": "vision", "elephas": "vision", "PIL": "vision"}
OF_SPARK = ("py4j", "pyspark")
# How a task's traceback ends, in the text of Spark's error.
IN_A_TASK = re.compile(rf"^(?:{'|'.join(OURS)})\.[\w.]+: (.+)$", re.MULTILINE)


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Prints an error that whoever runs Larder can put right, and exits with 1; lets others pass."""
    try:
        yield
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        print(f"larder: {line}", file=sys.stderr)
        sys.exit(1)


def explained(error: Exception) -> str | None:
    """What to tell whoever runs Larder; None for what is no news for them, but a mistake of ours."""
    package = type(error).__module__.partition(".")[0]
    if package in OURS or isinstance(error, argparse.ArgumentTypeError):
        return str(error)
    if package in OF_SPARK:
        raised = IN_A_TASK.search(str(error))
        return f"{raised[1].strip()} (in a task of Spark)" if raised else None
    if isinstance(error, redis.RedisError):
        return f"Redis: {error}; is redis.url right, and the server up?"
    if package in OF_S3:
        return f"S3: {error}; are [storage], [s3] and the AWS_* variables right, and is the store up?"
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRA_OF.get((error.name or "").partition(".")[0], "jobs")
        return f"{error}; install the extra that brings it: pip install 'larder[{extra}]'"
    if isinstance(error, OSError):
        return _of_system(error)
    return None


def _of_system(error: OSError) -> str:
    """A file or a connection: the operating system's words, or those of pyarrow, which have no errno and name S3."""
    if error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error) or type(error).__name__
    return f"{text}; are [storage], [s3] and the AWS_* variables right, and is the store up?" if "AWS" in text else text
