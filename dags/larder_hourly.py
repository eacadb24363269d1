"""
# Each hour: count its events, add them to the running state, make new lists for its cookies

`aggregate_hours` validates and counts the hour's events. `repair` counts earlier hours again whose events came late or
changed. `roll_up` adds the hour to the interactions and contexts as of the hour before. An hour's repair and roll-up
wait for those of the hour before; the counting does not. Only the roll-up of `LARDER_FIRST_HOUR` begins with an empty
state.

`delta.precompute_cookies` makes new lists for the cookies with events in the hour, and `delta.load_redis` publishes
them as a delta over the live release, minutes after the hour (`LARDER_DELTAS=off`: no such tasks). They do nothing
before there are a model and a live release, and are skipped for hours that ended more than two hours ago.

## Incomplete hours

Where the settings say how a complete hour is recognised (`[events] success_file` or `quiet_minutes`), a task that finds
its hour incomplete is deferred: it gives its worker back and looks again every five minutes, without using up a retry.
After twelve hours it fails for good: have the files delivered, then clear it. In Spark's deploy mode `cluster` the
job's exit code does not reach Airflow, so there the task fails and is retried.

## A run by hand

Start it with a logical date: the beginning of the hour, such as `airflow dags trigger larder_hourly --logical-date
2025-03-05T07:00:00+00:00` for the hour from 07:00 to 08:00. That hour is done, whatever data interval Airflow gives the
run (its command line gives the hour of now). A run without a date, of an hour that has not ended, or of one before
`LARDER_FIRST_HOUR` is refused by its first task before anything is done. `airflow dags test` and the API work alike.

## When a run fails

**It may be ignored** for as long as lists may be made from older events: nothing that is served depends on it until
`larder_daily` needs the day's last hour. Later hours are still counted; their roll-ups wait.

**It may not be ignored** for longer than that. Find the reason in the failed task's log, remove it, and clear the
failed tasks; the waiting hours then continue. Nothing has to be cleaned up: a job that was cut short has changed
nothing visible, and writes the same files when it is run again with the same input.

- `aggregate_hours`, `this run was started by hand and names no hour`: start another, with a date; see above.
- `aggregate_hours`, `counts do not add up`: a row was lost or counted twice. Don't mark it as successful; keep the
  hour's files and report it.
- `aggregate_hours`, the event store does not answer: clear the task when it does.
- `roll_up`, `hours are not aggregated yet`: clear `aggregate_hours` of the hours that it names.
- `roll_up`, `table interactions has no partition`: the hour before was never rolled up. Clear its `roll_up`, or see
  "The first run" in docs/operations.md.
- `delta.*`: may always be ignored. These cookies keep their present lists until their next event, or until
  `larder_daily` makes all lists. If `load_redis` says that a later release is live, its delta is no longer needed.

An hour without a folder is no failure: its counts are empty. Rows that break the contract of events don't fail a run;
they are written to the table `quarantine` with their reasons.

## When events come late

`repair` looks at the `LARDER_REPAIR_HOURS` hours (24 by default) before the run's own. Hours whose files changed since
they were counted are counted again, and the state as of the run's hour is corrected. What has not changed is not
computed again. For older hours run `larder repair` with a wider window.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, task

from larder.dags.intervals import FROM_SCHEDULE, HOUR
from larder.dags.spark_jobs import DEFAULT_ARGUMENTS, LarderJob, dags_start, has_deltas, macros, parameters

WINDOW = ["--start", "{{ start_of(dag_run) }}", "--end", "{{ end_of(dag_run) }}"]
NEWEST = timedelta(hours=2)
BEFORE = ["--start", "{{ look_back(dag_run) }}", "--end", "{{ start_of(dag_run) }}"]
FROM_EMPTY = "{{ '--from-empty' if is_first(dag_run) else '' }}"

with DAG(
    dag_id="larder_hourly",
    description="Hourly counts, the running state, and new lists for the hour's cookies",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=dags_start(),
    # The state is made hour by hour: none may be left out.
    catchup=True,
    max_active_runs=4,
    default_args=DEFAULT_ARGUMENTS,
    params=parameters(),
    user_defined_macros=macros(HOUR),
    tags=["larder", "hourly"],
) as dag:
    aggregate = LarderJob(
        task_id="aggregate_hours", arguments=WINDOW, needs_time=True, execution_timeout=timedelta(hours=1)
    )
    repair = LarderJob(
        task_id="repair",
        arguments=BEFORE,
        needs_time=True,
        # It corrects the state as of the hour before, so no other task may be reading or writing that.
        depends_on_past=True,
        wait_for_downstream=True,
        execution_timeout=timedelta(hours=2),
    )
    roll_up = LarderJob(
        task_id="roll_up",
        arguments=[*WINDOW, FROM_EMPTY],
        depends_on_past=True,
        execution_timeout=timedelta(hours=1),
    )
    aggregate >> repair >> roll_up

    if has_deltas():
        with TaskGroup("delta"):

            @task.short_circuit(ignore_downstream_trigger_rules=False, execution_timeout=timedelta(minutes=5))
            def is_it_the_newest_hour(dag_run: Any = None) -> bool:
                """Whether the hour ended less than two hours ago, or the run was started by hand."""
                if dag_run.run_type not in FROM_SCHEDULE:
                    return True
                return datetime.now(timezone.utc) - dag_run.data_interval_end < NEWEST

            make = LarderJob(task_id="precompute_cookies", arguments=WINDOW, execution_timeout=timedelta(hours=1))
            load = LarderJob(
                task_id="load_redis",
                arguments=["--as-of", "{{ end_of(dag_run) }}", "--delta"],
                execution_timeout=timedelta(hours=1),
            )
            roll_up >> is_it_the_newest_hour() >> make >> load
