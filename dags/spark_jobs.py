"""How a DAG runs a job by spark-submit, and the environment variables that say where and with what.

Two environment variables must be set wherever DAGs are parsed, that is for the DAG processor and the workers:

    LARDER_SETTINGS     the larder.toml that jobs are given
    LARDER_FIRST_HOUR   the first hour of the event log, like 2025-01-01T00 (UTC); no event is older

These may be set; the default stands last:

    LARDER_JOBS               folder or URI of the job files; jobs/ beside dags/
    LARDER_DAGS_START         first hour that the DAGs process, if earlier ones were processed by hand
    LARDER_REPAIR_HOURS       hours before its own that a run searches for changed events; 24
    LARDER_POLL_MINUTES       how often a task that waits for an incomplete hour looks again; 5
    LARDER_VISION             `off`: no vision jobs, for a catalogue without pictures; on
    LARDER_DELTAS             `off`: no new lists between two daily releases; on
    LARDER_SPARK_CONNECTION   Airflow's connection to Spark; spark_default
    LARDER_PYTHON             interpreter of drivers and executors; the one that parses the DAG
    LARDER_SPARK_PROPERTIES   file of spark.* options: memory, executors, credentials; none
    LARDER_PY_FILES           archive made by `larder bundle`, for executors without Larder; none
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from larder.dags.intervals import RunOfDag, interval_of

if TYPE_CHECKING:
    from airflow.sdk import Context

JOBS = os.environ.get("LARDER_JOBS") or str(Path(__file__).resolve().parent.parent / "jobs")
HOUR_FORMAT = "%Y-%m-%dT%H"
NOW = "--now"
NOT_YET = 75  # exit code of a job whose input is not complete yet: EX_TEMPFAIL of sysexits.h
DEFAULT_ARGUMENTS: dict[str, Any] = {
    "owner": "larder",
    "retries": 3,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=30),
}


class EnvironmentVariableError(ValueError):
    """An environment variable that the DAGs need is missing or wrong; the message names it."""


def hour_text(moment: datetime) -> str:
    """The UTC hour as jobs take it: `2025-01-01T00`."""
    return moment.astimezone(timezone.utc).strftime(HOUR_FORMAT)


def first_hour() -> datetime:
    """The first hour of the event log (LARDER_FIRST_HOUR). Raises EnvironmentVariableError."""
    return _hour_variable("LARDER_FIRST_HOUR", _required("LARDER_FIRST_HOUR"))


def dags_start() -> datetime:
    """The first hour that the DAGs process (LARDER_DAGS_START). Raises EnvironmentVariableError."""
    text = os.environ.get("LARDER_DAGS_START")
    return _hour_variable("LARDER_DAGS_START", text) if text else first_hour()


def repair_hours() -> timedelta:
    """How far back a run looks for changed events (LARDER_REPAIR_HOURS). Raises EnvironmentVariableError."""
    text = os.environ.get("LARDER_REPAIR_HOURS", "24")
    if not text.isdigit():
        raise EnvironmentVariableError(f"LARDER_REPAIR_HOURS is {text!r}, not a number of hours")
    return timedelta(hours=int(text))


def poll_interval() -> timedelta:
    """How often a waiting task looks for complete input (LARDER_POLL_MINUTES). Raises EnvironmentVariableError."""
    text = os.environ.get("LARDER_POLL_MINUTES", "5")
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < math.inf:
        raise EnvironmentVariableError(f"LARDER_POLL_MINUTES is {text!r}, not a number of minutes above 0")
    return timedelta(minutes=minutes)


def has_vision() -> bool:
    """Whether the daily DAG learns from pictures (LARDER_VISION). Raises EnvironmentVariableError."""
    return _switch("LARDER_VISION")


def has_deltas() -> bool:
    """Whether the hourly DAG makes new lists (LARDER_DELTAS). Raises EnvironmentVariableError."""
    return _switch("LARDER_DELTAS")


def parameters() -> dict[str, Param]:
    """The parameters that whoever starts a run by hand may change. Raises EnvironmentVariableError."""
    settings = Param(_required("LARDER_SETTINGS"), type="string", description="larder.toml that jobs are given")
    return {"settings": settings}


def macros(length: timedelta) -> dict[str, Any]:
    """What the templates of a DAG's arguments may use; its runs are for intervals of `length`.

    start_of, end_of: the beginning and end of the hour or day that a run is for, as jobs take hours. look_back: the
    first hour that `repair` looks at, before that. is_first: whether a run is for the first hour of the event log.
    """
    first, far = first_hour(), repair_hours()

    def start_of(run: RunOfDag) -> datetime:
        return interval_of(run, length, first, datetime.now(timezone.utc)).start

    return {
        "start_of": lambda dag_run: hour_text(start_of(dag_run)),
        "end_of": lambda dag_run: hour_text(start_of(dag_run) + length),
        "look_back": lambda dag_run: hour_text(max(first, start_of(dag_run) - far)),
        "is_first": lambda dag_run: start_of(dag_run) == first,
    }


class LarderJob(SparkSubmitOperator):
    """spark-submit of the job that has the task's name; an argument that renders to nothing is left out.

    A job whose input is not complete yet ends with the exit code NOT_YET. The task then gives its worker back and is
    woken after `poll_interval` to try again, without using up a retry. After `waits` it fails for good.
    With `needs_time` the job is given `--now`, by which it judges whether an hour's files are complete.
    """

    def __init__(
        self,
        *,
        task_id: str,
        arguments: Sequence[str] = (),
        needs_time: bool = False,
        waits: timedelta = timedelta(hours=12),
        **more: Any,
    ) -> None:
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
        self.needs_time, self.waits, self.poll = needs_time, waits, poll_interval()

    def execute(self, context: Context) -> None:
        """Runs the job once, and defers the task if the job's input is not complete yet."""
        self._attempt(context, datetime.now(timezone.utc))

    def try_again(self, context: Context, event: Any = None, since: str = "") -> None:
        """Continues the task when it is woken. `since` is when it began to wait; `airflow dags test` drops it."""
        self._attempt(context, datetime.fromisoformat(since) if since else datetime.now(timezone.utc))

    def _attempt(self, context: Context, since: datetime) -> None:
        now = datetime.now(timezone.utc)
        given = [argument for argument in self.application_args or [] if argument]
        if self.needs_time:
            earlier = given.index(NOW) if NOW in given else len(given)
            given = [*given[:earlier], NOW, now.isoformat(timespec="seconds")]
        self.application_args = given
        self._hook = None  # it keeps the arguments of the attempt before
        try:
            super().execute(context)
        except AirflowException:
            if self._exit_code() != NOT_YET:
                raise
        else:
            return
        if now - since > self.waits:
            raise AirflowFailException(
                f"the input of {self.task_id} is still not complete after {self.waits}; the job's lines above say what "
                "is missing: have it delivered, then clear this task"
            )
        self.log.info("the input is not complete yet; trying again in %s", self.poll)
        self.defer(trigger=TimeDeltaTrigger(self.poll), method_name="try_again", kwargs={"since": since.isoformat()})

    def _exit_code(self) -> int | None:
        """The exit code of spark-submit, or None where it did not end. In cluster mode it is not the job's."""
        process = getattr(self._hook, "_submit_sp", None)
        return getattr(process, "returncode", None)


def _switch(name: str) -> bool:
    text = os.environ.get(name, "on")
    if text not in ("on", "off"):
        raise EnvironmentVariableError(f"{name} is {text!r}, neither 'on' nor 'off'")
    return text == "on"


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise EnvironmentVariableError(f"the environment variable {name} must be set for Larder's DAGs")
    return value


def _hour_variable(name: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, HOUR_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        raise EnvironmentVariableError(f"{name} is {text!r}, not an hour like 2025-01-01T00 (UTC)") from None
