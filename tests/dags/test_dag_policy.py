"""What every DAG must be, whatever it does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from repository import ROOT

airflow = pytest.importorskip("airflow")

DAGS, JOBS = ROOT / "dags", ROOT / "jobs"
RUNBOOK = ("## When a run fails", "**It may be ignored**", "**It may not be ignored**")
# Jobs that no DAG runs, with the reason.
EXEMPT = {
    "report_experiment": "people start and stop experiments, and look at them when they like",
    "search_vision": "people look at what was found before they train with it",
    "tune_lists": "weights are a file that people review",
}
PARSED = {"LARDER_SETTINGS": "/etc/larder/larder.toml", "LARDER_FIRST_HOUR": "2025-03-01T22"}
# Imports Airflow once. For each line, an environment, a copy of that process says what it finds in the DAGs.
PARSER = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag

for line in sys.stdin:
    if os.fork() == 0:
        os.environ.update(json.loads(line))
        bag = DagBag(sys.argv[1])
        heavy = [name for name in ("pyspark", "tensorflow", "larder.jobs", "larder.models") if name in sys.modules]
        tasks = {dag.dag_id: sorted(dag.task_ids) for dag in bag.dags.values()}
        print("\\n" + json.dumps({"errors": bag.import_errors, "tasks": tasks, "heavy": heavy}), flush=True)
        os._exit(0)
    os.wait()
"""
# What the DAGs are to somebody with these variables.
ParseDags = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def parse_dags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParseDags]:
    """Parses the DAGs in a process that has imported nothing but Airflow, with the environment given."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
    surroundings |= {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    with subprocess.Popen(
        [sys.executable, "-c", PARSER, str(DAGS)],
        env=surroundings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parser:  # fmt: skip
        assert parser.stdin is not None and parser.stdout is not None
        requests, replies = parser.stdin, parser.stdout

        def parse(**environment: str) -> dict[str, Any]:
            print(json.dumps(environment), file=requests, flush=True)
            return json.loads(next(line for line in replies if line.startswith('{"errors"')))  # type: ignore[no-any-return]

        yield parse
        requests.close()


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LARDER_")]:
            patch.delenv(name)
        for name, value in PARSED.items():
            patch.setenv(name, value)
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(DAGS))
    assert bag.import_errors == {}
    return dict(bag.dags)


def spark_tasks(dags: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(dag.dag_id, task) for dag in dags.values() for task in dag.tasks if hasattr(task, "application")]


def job_names() -> set[str]:
    """The modules of jobs/ that have a main."""
    modules = {path.stem: ast.parse(path.read_text()) for path in JOBS.glob("*.py")}
    return {
        name
        for name, module in modules.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.body)
    }


def test_dags_parse_without_spark_and_models(parse_dags: ParseDags) -> None:
    parsed = parse_dags(**PARSED)
    assert parsed["errors"] == {}
    assert parsed["heavy"] == []


@pytest.mark.parametrize("missing", sorted(PARSED))
def test_a_missing_variable_is_named(parse_dags: ParseDags, missing: str) -> None:
    parsed = parse_dags(**{name: value for name, value in PARSED.items() if name != missing})
    errors = parsed["errors"].values()
    assert errors
    assert all(f"variable {missing} must be set" in error for error in errors)


def test_a_wrong_hour_is_named(parse_dags: ParseDags) -> None:
    parsed = parse_dags(**{**PARSED, "LARDER_FIRST_HOUR": "yesterday"})
    assert all("LARDER_FIRST_HOUR is 'yesterday'" in error for error in parsed["errors"].values())


def test_a_shop_without_pictures_has_no_vision(parse_dags: ParseDags) -> None:
    parsed = parse_dags(**PARSED, LARDER_VISION="off")
    assert parsed["errors"] == {}
    assert "load_redis" in parsed["tasks"]["larder_daily"]
    assert not [task for task in parsed["tasks"]["larder_daily"] if task.startswith("vision")]


def test_there_are_these_dags(dags: dict[str, Any]) -> None:
    assert set(dags) == {path.stem for path in DAGS.glob("larder_*.py")}


def test_every_dag_says_whose_it_is_and_what_to_do(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert "larder" in dag.tags
        assert dag.description
        for section in RUNBOOK:
            assert section in dag.doc_md, f"{dag.dag_id} has no {section!r} in its doc_md"


def test_every_dag_has_data_intervals_and_a_chosen_catchup(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
        assert str(dag.timetable.timezone) in ("UTC", "Timezone('UTC')")
        assert any(
            keyword.arg == "catchup"
            for node in ast.walk(ast.parse(Path(dag.fileloc).read_text()))
            if isinstance(node, ast.Call)
            for keyword in node.keywords
        )


def test_every_task_has_owner_retries_and_a_time_limit(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            assert task.owner == "larder", task.task_id
            assert task.retries >= 1, task.task_id
            assert task.retry_exponential_backoff, task.task_id
            assert task.execution_timeout is not None, task.task_id


def test_every_application_is_a_job(dags: dict[str, Any]) -> None:
    for dag_id, task in spark_tasks(dags):
        application = Path(task.application)
        assert application.is_file(), f"{dag_id}.{task.task_id}"
        assert application.parent == JOBS
        assert task.conf["spark.pyspark.python"] == sys.executable


def test_every_job_has_one_dag(dags: dict[str, Any]) -> None:
    dags_of: dict[str, set[str]] = {}
    for dag_id, task in spark_tasks(dags):
        dags_of.setdefault(Path(task.application).stem, set()).add(dag_id)
    assert set(dags_of) | set(EXEMPT) == job_names()
    assert dags_of.pop("load_redis") == {"larder_daily", "larder_hourly"}  # whole, and a delta
    assert all(len(names) == 1 for names in dags_of.values())


def test_an_hour_lays_its_lists_over_what_is_live(dags: dict[str, Any]) -> None:
    hourly, begin = dags["larder_hourly"], datetime(2025, 3, 5, 7, tzinfo=timezone.utc)
    load = hourly.get_task("delta.load_redis")
    assert render(load, begin, begin + timedelta(hours=1))[2:] == ["--as-of", "2025-03-05T08", "--delta"]
    assert load.upstream_task_ids == {"delta.precompute_cookies"}
    assert hourly.get_task("delta.is_it_the_newest_hour").upstream_task_ids == {"roll_up"}


@pytest.mark.parametrize(
    ("run_type", "hours_ago", "wanted"), [("scheduled", 1, True), ("scheduled", 3, False), ("manual", 99, True)]
)
def test_hours_that_are_caught_up_on_make_no_lists(
    dags: dict[str, Any], run_type: str, hours_ago: int, wanted: bool
) -> None:
    is_it_the_newest_hour = dags["larder_hourly"].get_task("delta.is_it_the_newest_hour")
    end = datetime.now(timezone.utc) - timedelta(hours=hours_ago)
    run = run_of(end - timedelta(hours=1), end, run_type)
    assert is_it_the_newest_hour.python_callable(dag_run=run) is wanted


def test_a_shop_may_do_without_deltas(parse_dags: ParseDags) -> None:
    parsed = parse_dags(**PARSED, LARDER_DELTAS="off")
    assert parsed["tasks"]["larder_hourly"] == ["aggregate_hours", "repair", "roll_up"]


def test_arguments_are_those_that_the_job_takes(dags: dict[str, Any]) -> None:
    """Rendered for a day in the middle, and given to the job's own parser."""
    pytest.importorskip("pyspark")
    import importlib

    begin = datetime(2025, 3, 5, tzinfo=timezone.utc)
    for dag_id, task in spark_tasks(dags):
        settings = ROOT / "demo" / "larder.toml"
        rendered = render(task, begin, begin + timedelta(days=1), settings)
        job = importlib.import_module(f"larder.jobs.{Path(task.application).stem}")
        parsed = job.parse_arguments([argument for argument in rendered if argument])
        assert not getattr(parsed, "from_empty", False), f"{dag_id}.{task.task_id}"


def test_only_the_first_hour_of_all_begins_empty(dags: dict[str, Any]) -> None:
    roll_up = dags["larder_hourly"].get_task("roll_up")
    first = datetime(2025, 3, 1, 22, tzinfo=timezone.utc)
    an_hour = timedelta(hours=1)
    assert "--from-empty" in render(roll_up, first, first + an_hour)
    assert "--from-empty" not in render(roll_up, first + an_hour, first + 2 * an_hour)


def test_an_hour_waits_for_the_one_before(dags: dict[str, Any]) -> None:
    hourly = dags["larder_hourly"]
    assert hourly.catchup
    assert hourly.get_task("roll_up").depends_on_past


def test_the_day_waits_for_its_last_hour(dags: dict[str, Any]) -> None:
    wait = dags["larder_daily"].get_task("wait_for_last_hour")
    begin = datetime(2025, 3, 5, tzinfo=timezone.utc)
    context = {"logical_date": begin, "dag_run": run_of(begin, begin + timedelta(days=1)), "ti": None}
    assert wait._get_dttm_filter(context) == [datetime(2025, 3, 5, 23, tzinfo=timezone.utc)]


def test_the_release_waits_for_lists_and_gate(dags: dict[str, Any]) -> None:
    load = dags["larder_daily"].get_task("load_redis")
    assert {"precompute", "gate.evaluate"} <= load.upstream_task_ids
    assert load.trigger_rule == "none_failed_min_one_success"


def test_pairs_are_of_the_day_that_has_ended(dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    from larder.jobs import train_vision
    from larder.models.hours import hour

    daily, begin = dags["larder_daily"], datetime(2025, 3, 5, tzinfo=timezone.utc)
    task = daily.get_task("vision.train_vision")
    monkeypatch.setenv("LARDER_VISION__PAIR_WEIGHT", "0.5")
    rendered = render(task, begin, begin + timedelta(days=1), ROOT / "demo" / "larder.toml")
    parsed = train_vision.parse_arguments([argument for argument in rendered if argument])
    assert parsed.as_of == hour("2025-03-06T00")
    assert "wait_for_last_hour" in task.upstream_task_ids


@pytest.mark.parametrize(("run_type", "live"), [("scheduled", True), ("manual", True), ("backfill", False)])
def test_a_backfill_is_never_made_live(dags: dict[str, Any], run_type: str, live: bool) -> None:
    begin = datetime(2025, 3, 5, tzinfo=timezone.utc)
    is_it_to_be_live = dags["larder_daily"].get_task("is_it_to_be_live")
    assert is_it_to_be_live.python_callable(dag_run=run_of(begin, begin + timedelta(days=1), run_type)) is live
    assert is_it_to_be_live.downstream_task_ids == {"load_redis"}


def test_every_spark_submit_line_of_the_manual_is_taken_by_its_job() -> None:
    pytest.importorskip("pyspark")
    import importlib

    lines = [
        line.split()
        for line in (ROOT / "docs" / "operations.md").read_text().splitlines()
        if line.startswith("spark-submit")
    ]
    assert lines
    for words in lines:
        at = next(number for number, word in enumerate(words) if word.startswith("jobs/"))
        job = importlib.import_module("larder." + words[at].removesuffix(".py").replace("/", "."))
        job.parse_arguments(["--settings", str(ROOT / "demo" / "larder.toml"), *words[at + 1 :]])


def test_no_job_is_named_like_a_module() -> None:
    """spark-submit puts jobs/ first on the path."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    assert not {path.stem for path in JOBS.glob("*.py")} - {"__init__"} & taken


def run_of(begin: datetime, end: datetime, run_type: str = "scheduled") -> SimpleNamespace:
    """What Airflow's run of an interval has, as far as the DAGs look at it."""
    return SimpleNamespace(
        run_type=run_type, logical_date=begin, data_interval_start=begin, data_interval_end=end, run_after=end
    )


def render(task: Any, begin: datetime, end: datetime, settings: Path = Path("larder.toml")) -> list[str]:
    """The arguments of a task for an interval."""
    context = {
        "dag_run": run_of(begin, end),
        "params": {"settings": str(settings)},
        **task.dag.user_defined_macros,
    }
    return task.render_template(task.application_args, context, task.get_template_env())


def test_hours_before_are_put_right_as_far_back_as_there_are_any(dags: dict[str, Any]) -> None:
    repair = dags["larder_hourly"].get_task("repair")
    first, an_hour = datetime(2025, 3, 1, 22, tzinfo=timezone.utc), timedelta(hours=1)
    for hours, start in ((0, first), (3, first), (24, first), (30, first + 6 * an_hour)):
        at = first + hours * an_hour
        expected = ["--start", start.strftime("%Y-%m-%dT%H"), "--end", at.strftime("%Y-%m-%dT%H")]
        assert render(repair, at, at + an_hour)[-4:] == expected
    assert repair.depends_on_past and repair.wait_for_downstream
