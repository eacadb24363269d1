"""
# Each day: train, make lists, evaluate, publish

At the end E of a day (midnight, UTC), after its last hour is rolled up:

- `train_als` and `precompute` make the release as of E;
- `vision` ingests the catalogue's pictures, trains on them and embeds them, if any have changed (`LARDER_VISION=off`:
  no such tasks). With `vision.pair_weight` it trains each day, since the products bought together change each day;
- `gate` evaluates the model as of the day's *beginning*, with the current code and settings, on the purchases of the
  day. It fails if the model is worse than `evaluation.least_ratio_to_popularity` allows (0: it only measures);
- `load_redis` publishes the release as of E after all of these. The last command of the load makes it live.

`gate.train_als` usually finds the model of yesterday's run and does nothing. On the first day of the event log there is
no earlier model, and the gate is skipped. A backfill never publishes: it would replace the newest lists by old ones.

## A run by hand

Start it with a logical date: the beginning of the day, such as `airflow dags trigger larder_daily --logical-date
2025-03-05T00:00:00+00:00` for 5 March. That day is done, whatever data interval Airflow gives the run (its command line
gives the day of now). A run without a date, of a day that has not ended, or of a day before the event log is refused by
its first task, `name_the_day`, before anything is done. A run by hand publishes like one by schedule.

## When a run fails

**It may be ignored** for a day or a few: the live release stays as it is, and the next day's run needs nothing from the
failed one.

**It may not be ignored** if the lists become too old for the shop, if the gate has failed, or if the same task has
failed on two days in a row. Find the reason in the failed task's log, remove it, and clear the failed task. Nothing
has to be cleaned up, neither in the tables nor in Redis.

- `name_the_day`: a run by hand that names no day that has ended. Start another, with a date; see above.
- `wait_for_last_hour`: the day's last hour is not rolled up. Look at `larder_hourly`; clear this task afterwards.
- `gate.evaluate`, `NDCG@10 of personal lists ...`: personal lists rank worse than popularity. Read the
  `report.html` that the line names, and compare it with the day before. Look for a change in the events (weights, a
  missing source, a flood of one product), in the settings, or in the file of `lists.weights`. Only if the lists are
  correct nevertheless, mark `gate.evaluate` as successful: `load_redis` then continues.
- `gate.evaluate`, `none of N cookies measured bought ...`: there were no purchases to evaluate on. If the day really
  had so few, mark the task as successful.
- `vision.*`: mark `vision.embed_products` as successful to publish with the embeddings of the day before.
- `load_redis`: a release is not live before all of it was loaded and counted. Clear the task when Redis works again.

If the live release is bad, run `larder rollback` at once and look for the reason afterwards. `load_redis` refuses to
publish an older day while a newer one is live.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, TriggerRule, task

from larder.dags.intervals import DAY, HOUR, Interval, RunOfDag, interval_of
from larder.dags.spark_jobs import DEFAULT_ARGUMENTS, LarderJob, dags_start, first_hour, has_vision, macros, parameters

DAY_BEGIN, DAY_END = "{{ start_of(dag_run) }}", "{{ end_of(dag_run) }}"
AS_OF_END = ["--as-of", DAY_END]
FIRST_HOUR = first_hour()


def day_of(dag_run: RunOfDag) -> Interval:
    """The day that a run is for. Raises AirflowFailException where it names none."""
    return interval_of(dag_run, DAY, FIRST_HOUR, datetime.now(timezone.utc))


def last_hour(logical_date: datetime | None, dag_run: RunOfDag, **_: Any) -> datetime:
    """Returns the logical date of the day's last hourly run: the beginning of that hour."""
    return day_of(dag_run).end - HOUR


with DAG(
    dag_id="larder_daily",
    description="Models, lists, their measure, and the release in Redis",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    # The beginning of the first day: Airflow makes no tasks for a date before it, and calls such a run a success.
    start_date=dags_start().replace(hour=0),
    # Only the newest lists are worth making.
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    params=parameters(),
    user_defined_macros=macros(DAY),
    tags=["larder", "daily"],
) as dag:

    @task(execution_timeout=timedelta(minutes=5))
    def name_the_day(dag_run: Any = None) -> str:
        """Refuses a run by hand that names no day, before anything is done; returns the day."""
        return f"{day_of(dag_run).start:%Y-%m-%d}"

    named = name_the_day()
    wait = ExternalTaskSensor(
        task_id="wait_for_last_hour",
        external_dag_id="larder_hourly",
        external_task_id="roll_up",
        execution_date_fn=last_hour,
        # A failed hour is cleared in its own run; this goes on when that has succeeded.
        failed_states=[],
        mode="reschedule",
        poke_interval=timedelta(minutes=1).total_seconds(),
        timeout=timedelta(hours=12).total_seconds(),
        execution_timeout=timedelta(minutes=10),
    )
    train = LarderJob(task_id="train_als", arguments=AS_OF_END, execution_timeout=timedelta(hours=6))
    precompute = LarderJob(task_id="precompute", arguments=AS_OF_END, execution_timeout=timedelta(hours=6))

    with TaskGroup("gate"):

        @task.short_circuit(ignore_downstream_trigger_rules=False, execution_timeout=timedelta(minutes=5))
        def is_there_a_day_before(dag_run: Any = None) -> bool:
            """Whether the event log has hours before the day, for a model to be trained on."""
            return day_of(dag_run).start > FIRST_HOUR

        day_before = is_there_a_day_before()
        train_before = LarderJob(
            task_id="train_als", arguments=["--as-of", DAY_BEGIN], execution_timeout=timedelta(hours=6)
        )
        evaluate = LarderJob(
            task_id="evaluate",
            arguments=["--as-of", DAY_BEGIN, "--end", DAY_END],
            execution_timeout=timedelta(hours=3),
        )
        day_before >> train_before >> evaluate

    @task.short_circuit(ignore_downstream_trigger_rules=False, execution_timeout=timedelta(minutes=5))
    def is_it_to_be_live(dag_run: Any = None) -> bool:
        """Whether the run may publish its lists: any run may but those of a backfill."""
        return dag_run.run_type != "backfill"

    load_redis = LarderJob(
        task_id="load_redis",
        arguments=AS_OF_END,
        execution_timeout=timedelta(hours=3),
        # A gate that was skipped is open; one that has failed is not.
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    named >> wait >> [train, day_before]
    train >> precompute
    [precompute, evaluate, is_it_to_be_live()] >> load_redis

    if has_vision():
        with TaskGroup("vision"):
            ingest_images = LarderJob(task_id="ingest_images", execution_timeout=timedelta(hours=6))
            # With vision.pair_weight it reads the day's interactions; without, it does not look at the hour.
            train_vision = LarderJob(task_id="train_vision", arguments=AS_OF_END, execution_timeout=timedelta(hours=12))
            embed_products = LarderJob(task_id="embed_products", execution_timeout=timedelta(hours=6))
            named >> ingest_images
            [wait, ingest_images] >> train_vision >> embed_products
        embed_products >> [precompute, evaluate]
