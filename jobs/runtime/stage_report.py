"""The report of a job: a line of text or a JSON object at its end, and progress on a terminal."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession
from rich.console import Console
from rich.status import Status

PROGRESS_SECONDS = 0.5


@dataclass
class StageReport:
    """The counts of one stage. If rows map one to one, `rows_in` = `rows_out` + `quarantined` + `duplicates`."""

    stage: str
    window: str
    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
    doing: str = ""  # the step under way, for the progress line

    def line(self) -> str:
        """Returns the report as a line for a terminal."""
        details = "  ".join(f"{name}={_short(value)}" for name, value in self.details.items())
        return (
            f"{self.stage:<16} {self.rows_in:>11,} in {self.rows_out:>11,} out {self.quarantined:>7,} quarantined"
            f" {self.seconds:>7.1f} s  {details}"
        ).rstrip()

    def as_json(self) -> str:
        """Returns the report as a line of JSON for a log collector."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "doing"}
        return json.dumps({**values, "seconds": round(self.seconds, 3)}, default=str, sort_keys=True)


@contextmanager
def stage(spark: SparkSession | None, name: str, window: str) -> Iterator[StageReport]:
    """Times a stage, shows its progress on a terminal and prints its report at the end.

    Without a session it shows no progress: a job that runs without Spark shows its own.
    Set LARDER_LOG=json for one JSON object a line on standard output instead of text.
    """
    report, begun = StageReport(name, window), time.perf_counter()
    with _progress(spark, report):
        yield report
        report.seconds = time.perf_counter() - begun
    print(report.as_json() if os.environ.get("LARDER_LOG") == "json" else report.line(), flush=True)


@contextmanager
def _progress(spark: SparkSession | None, report: StageReport) -> Iterator[None]:
    if spark is None:
        yield
        return
    title = f"{report.stage} {report.window}"
    with watched(title, lambda status, done: _watch(spark, status, report, done)):
        yield


@contextmanager
def watched(title: str, watch: Callable[[Status, threading.Event], None]) -> Iterator[None]:
    """Runs `watch` in a thread that updates a status line until the event is set; does nothing without a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    with Console(stderr=True).status(title) as status:
        watcher = threading.Thread(target=watch, args=(status, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(spark: SparkSession, status: Status, report: StageReport, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(PROGRESS_SECONDS):
        stages = [info for id_ in tracker.getActiveStageIds() if (info := tracker.getStageInfo(id_))]
        finished, total = sum(s.numCompletedTasks for s in stages), sum(s.numTasks for s in stages)
        title = f"{report.stage} {report.window}  {report.doing}".rstrip()
        status.update(f"{title}  {finished}/{total} tasks" if total else title)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
