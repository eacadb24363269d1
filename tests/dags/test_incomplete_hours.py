"""A job whose input is not complete is waited for by deferral: no retry is used up, and it does not wait for ever."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from larder.dags.spark_jobs import NOT_YET, EnvironmentVariableError, LarderJob, poll_interval

CONTEXT: Any = {}


class Submit:
    """spark-submit that ends with these codes, one after another, and keeps the arguments it was given."""

    def __init__(self, *codes: int) -> None:
        self.codes, self.given = list(codes), []

    def __call__(self, operator: Any, context: Any) -> None:
        assert operator._hook is None, "an old hook has old arguments"
        code = self.codes.pop(0)
        self.given.append(list(operator.application_args))
        operator._hook = SimpleNamespace(_submit_sp=SimpleNamespace(returncode=code))
        if code:
            raise AirflowException(f"Error code is: {code}")


@pytest.fixture
def submit(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Submit:
    made = Submit(*request.param)
    monkeypatch.setattr(SparkSubmitOperator, "execute", lambda self, context: made(self, context))
    return made


def job(**more: Any) -> LarderJob:
    return LarderJob(task_id="aggregate_hours", arguments=["--start", "", "2025-03-05T07"], **more)


@pytest.mark.parametrize("submit", [(NOT_YET, NOT_YET, 0)], indirect=True)
def test_an_incomplete_hour_is_looked_at_again_with_the_time_of_then(submit: Submit) -> None:
    task = job(needs_time=True)
    with pytest.raises(TaskDeferred) as first:
        task.execute(CONTEXT)
    assert first.value.method_name == "try_again"
    assert abs(first.value.trigger.moment - datetime.now(timezone.utc) - timedelta(minutes=5)) < timedelta(minutes=1)
    with pytest.raises(TaskDeferred) as second:
        task.try_again(CONTEXT, **(first.value.kwargs or {}))
    assert second.value.kwargs == first.value.kwargs, "it waits since the first time"
    task.try_again(CONTEXT, **(second.value.kwargs or {}))
    for given in submit.given:
        assert given[:-1] == ["--settings", "{{ params.settings }}", "--start", "2025-03-05T07", "--now"]
        assert datetime.fromisoformat(given[-1]).tzinfo is not None


@pytest.mark.parametrize("submit", [(NOT_YET,)], indirect=True)
def test_it_is_not_waited_for_for_ever(submit: Submit) -> None:
    since = datetime.now(timezone.utc) - timedelta(hours=12, minutes=1)
    with pytest.raises(AirflowFailException, match="aggregate_hours is still not complete after 12:00:00"):
        job().try_again(CONTEXT, since=since.isoformat())


@pytest.mark.parametrize("submit", [(1,)], indirect=True)
def test_another_failure_is_retried(submit: Submit) -> None:
    with pytest.raises(AirflowException, match="Error code is: 1") as caught:
        job().execute(CONTEXT)
    assert not isinstance(caught.value, AirflowFailException)
    assert "--now" not in submit.given[0]


def test_the_job_ends_with_the_code_that_the_dag_waits_for() -> None:
    pytest.importorskip("pyspark")
    from larder.jobs.events.hour_aggregation import IncompleteHourError
    from larder.jobs.runtime.expected_errors import errors_in_a_line

    with pytest.raises(SystemExit) as ended, errors_in_a_line():
        raise IncompleteHourError("dt=2025-03-05/hr=07: no _SUCCESS yet")
    assert ended.value.code == NOT_YET


@pytest.mark.parametrize("text", ["often", "0", "-1", "nan", "inf"])
def test_a_wrong_interval_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LARDER_POLL_MINUTES", text)
    with pytest.raises(EnvironmentVariableError, match=f"LARDER_POLL_MINUTES is {text!r}"):
        poll_interval()
