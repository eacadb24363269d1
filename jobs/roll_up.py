"""Hourly counts to running, decayed interactions and contexts, as of the end of the window."""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from larder.jobs.interactions.state_roll_up import JOB, roll_up
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `interactions` and `contexts` as of arguments.end."""
    return roll_up(spark, arguments.settings, arguments.start, arguments.end, arguments.from_empty)


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
