"""Raw events to hourly counts: validate, set aside with a reason, leave out duplicates, count."""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from larder.jobs.events.hour_aggregation import JOB, aggregate
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Aggregates the hours of [start, end) that are not current; returns what became of their rows."""
    return aggregate(spark, arguments.settings, arguments.start, arguments.end, arguments.now)


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
