"""How a DAG hands a job to spark-submit: where jobs lie, how hours are written, and what the surroundings set.

Two environment variables must be set wherever DAGs are parsed, that is for the DAG processor and the workers:

    LARDER_SETTINGS     the larder.toml that jobs are given
    LARDER_FIRST_HOUR   the first hour of the event log, like 2025-01-01T00 (UTC): before it there is nothing

These may be:

    LARDER_JOBS               folder or URI of the job files; jobs/ beside dags/
    LARDER_DAGS_START         first hour that the DAGs see to, if those before it were loaded by hand
    LARDER_REPAIR_HOURS       how far back each hour looks for hours that changed; 24
    LARDER_VISION             off: for a catalogue without pictures; on
    LARDER_DELTAS             off: no new lists between two days' releases; on
    LARDER_SPARK_CONNECTION   Airflow's connection to Spark; spark_default
    LARDER_PYTHON             interpreter of drivers and executors; the one that parses the DAG
    LARDER_SPARK_PROPERTIES   file of spark.* options: memory, executors, stores
    LARDER_PY_FILES           archive of Larder's packages, for executors where it is not installed
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Param

if TYPE_CHECKING:
    from airflow.sdk import Context

JOBS = os.environ.get("LARDER_JOBS") or str(Path(__file__).resolve().parent.parent / "jobs")
HOUR_FORMAT = "%Y-%m-%dT%H"
DEFAULT_ARGUMENTS: dict[str, Any] = {
    "owner": "larder",
    "retries": 3,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=30),
}


class SurroundingsError(ValueError):
    """An environment variable that the DAGs need is missing or wrong; the message names it."""


def hour_text(moment: datetime) -> str:
    """The UTC hour as jobs take it: `2025-01-01T00`."""
    return moment.astimezone(timezone.utc).strftime(HOUR_FORMAT)


def first_hour() -> datetime:
    """Where the event log begins. Raises SurroundingsError."""
    return _hour_variable("LARDER_FIRST_HOUR", _required("LARDER_FIRST_HOUR"))


def dags_start() -> datetime:
    """The first hour that the DAGs see to. Raises SurroundingsError."""
    text = os.environ.get("LARDER_DAGS_START")
    return _hour_variable("LARDER_DAGS_START", text) if text else first_hour()


def repair_hours() -> timedelta:
    """How far back a run looks for hours that changed. Raises SurroundingsError."""
    text = os.environ.get("LARDER_REPAIR_HOURS", "24")
    if not text.isdigit():
        raise SurroundingsError(f"LARDER_REPAIR_HOURS is {text!r}, not a number of hours")
    return timedelta(hours=int(text))


def has_vision() -> bool:
    """Whether the catalogue has pictures to learn from. Raises SurroundingsError."""
    return _switch("LARDER_VISION")


def has_deltas() -> bool:
    """Whether an hour's cookies get new lists at once. Raises SurroundingsError."""
    return _switch("LARDER_DELTAS")


def parameters() -> dict[str, Param]:
    """What a run triggered by hand may set. Raises SurroundingsError."""
    settings = Param(_required("LARDER_SETTINGS"), type="string", description="larder.toml that jobs are given")
    return {"settings": settings}


def macros() -> dict[str, Any]:
    """What the templates of jobs' arguments may use."""
    first, far = first_hour(), repair_hours()
    return {"hour": hour_text, "first_hour": first, "look_back": lambda moment: max(first, moment - far)}


class LarderJob(SparkSubmitOperator):
    """spark-submit of the job that bears the task's name; an argument that renders to nothing is left out."""

    def __init__(self, *, task_id: str, arguments: Sequence[str] = (), **more: Any) -> None:
        super().__init__(
            task_id=task_id,
            name=f"larder {task_id}",
            application=f"{JOBS}/{task_id}.py",
            application_args=["--settings", "{{ params.settings }}", *arguments],
            conn_id=os.environ.get("LARDER_SPARK_CONNECTION", "spark_default"),
            # Executors must run the jobs' interpreter, or pyarrow and elephas are missing there.
            conf={"spark.pyspark.python": os.environ.get("LARDER_PYTHON", sys.executable)},
            properties_file=os.environ.get("LARDER_SPARK_PROPERTIES"),
            py_files=os.environ.get("LARDER_PY_FILES"),
            **more,
        )

    def execute(self, context: Context) -> None:
        self.application_args = [argument for argument in self.application_args or [] if argument]
        super().execute(context)


def _switch(name: str) -> bool:
    text = os.environ.get(name, "on")
    if text not in ("on", "off"):
        raise SurroundingsError(f"{name} is {text!r}, neither 'on' nor 'off'")
    return text == "on"


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise SurroundingsError(f"the environment variable {name} must be set for Larder's DAGs")
    return value


def _hour_variable(name: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, HOUR_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        raise SurroundingsError(f"{name} is {text!r}, not an hour like 2025-01-01T00 (UTC)") from None
