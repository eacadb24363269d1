"""Airflow starts both DAGs in every way there is: each run does the hour or day that was named, or refuses.

spark-submit is a script that notes its arguments, so what is tested is which jobs are started, and with which hours.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

pytest.importorskip("airflow")
pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(900)]

HOURLY, DAILY = "larder_hourly", "larder_daily"
ENDED = ("success", "failed")
SECONDS = 400.0  # that a run may take on a busy machine
COMPONENTS = (("api-server", "--workers", "1"), ("dag-processor",), ("scheduler",), ("triggerer",))
# Notes a line of its arguments, and ends with NOT_YET as often as the file `incomplete` says.
SPARK_SUBMIT = """#!{python}
import json, sys
from pathlib import Path
folder = Path({folder!r})
arguments = sys.argv[1:]
at = next(number for number, word in enumerate(arguments) if word.endswith(".py"))
with (folder / "submitted").open("a") as file:
    file.write(json.dumps([Path(arguments[at]).stem, *arguments[at + 1:]]) + "\\n")
left = folder / "incomplete"
if left.exists() and int(left.read_text()):
    left.write_text(str(int(left.read_text()) - 1))
    sys.exit(75)
"""


class Airflow:
    """A folder with an Airflow of its own, and what its DAGs have submitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        submit = folder / "bin" / "spark-submit"
        submit.write_text(SPARK_SUBMIT.format(python=sys.executable, folder=str(folder)))
        submit.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LARDER_")},
            "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of a test",
            "AIRFLOW__API__SECRET_KEY": "of a test",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
            "LARDER_SETTINGS": str(folder / "larder.toml"),
            "LARDER_FIRST_HOUR": "2025-03-01T22",
            "LARDER_POLL_MINUTES": "0.02",
            "LARDER_VISION": "off",
            "LARDER_DELTAS": "off",
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *command: str) -> str:
        """Output of an Airflow command."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0 or command[:2] == ("dags", "test"), done.stdout[-20_000:]
        return done.stdout

    def start(self, *component: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{component[0]}.log").open("wb")
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *component],
            cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the API answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.loads(answer.read()))

    def _token(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/auth/token", timeout=60) as answer:
            return str(json.loads(answer.read())["access_token"])

    def submitted(self) -> list[list[str]]:
        """Jobs with their arguments since the last call, without those that are the same for all."""
        noted = self.folder / "submitted"
        lines = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
        noted.unlink(missing_ok=True)
        return [[job, *rest] for job, _, _, *rest in lines]

    def states(self, dag: str, run_id: str) -> dict[str, str]:
        """States of the tasks of a run, once it has ended."""
        ends = time.monotonic() + SECONDS
        while self._sql("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag, run_id)[0][0] not in ENDED:
            assert time.monotonic() < ends, self._logs()
            time.sleep(1)
        found = "SELECT task_id, state FROM task_instance WHERE dag_id = ? AND run_id = ?"
        return dict(self._sql(found, dag, run_id))

    def newest_run(self, dag: str, run_type: str = "manual") -> str:
        query = "SELECT run_id FROM dag_run WHERE dag_id = ? AND run_type = ? ORDER BY id DESC LIMIT 1"
        return str(self._sql(query, dag, run_type)[0][0])

    def log_of(self, dag: str, run_id: str, task: str) -> str:
        folder = self.folder / "airflow" / "logs" / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task}"
        return "".join(path.read_text() for path in sorted(folder.rglob("*.log")))

    def _sql(self, query: str, *values: str) -> list[Any]:
        with sqlite3.connect(self.folder / "airflow" / "airflow.db", timeout=60) as database:
            return database.execute(query, values).fetchall()

    def _logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3_000:]}" for path in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    made = Airflow(tmp_path_factory.mktemp("shop"))
    made.run("db", "migrate")
    return made


@pytest.fixture(scope="module")
def running(airflow: Airflow) -> Iterator[Airflow]:
    """With its scheduler, triggerer, DAG processor and API at work. Nothing is due by schedule."""
    airflow.environment["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] = "False"
    processes = [airflow.start(*component) for component in COMPONENTS]
    try:
        ends = time.monotonic() + SECONDS
        while len(airflow._sql("SELECT dag_id FROM dag WHERE is_stale = 0")) < 2 or not _answers(airflow):
            assert time.monotonic() < ends, airflow._logs()
            time.sleep(1)
        for dag in (HOURLY, DAILY):
            airflow.run("dags", "unpause", dag)
        yield airflow
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _answers(airflow: Airflow) -> bool:
    try:
        return bool(airflow._token())
    except OSError:
        return False


NAMED, DATE = "2025-03-05T07", "2025-03-05T07:00:00+00:00"
OF_HOUR = ["--start", NAMED, "--end", "2025-03-05T08"]


def check_hour(submitted: list[list[str]]) -> None:
    (count, *counting), (repair, *repairing), (roll_up, *rolling) = submitted
    assert (count, repair, roll_up) == ("aggregate_hours", "repair", "roll_up")
    assert counting[:-1] == [*OF_HOUR, "--now"]
    assert repairing[:-1] == ["--start", "2025-03-04T07", "--end", NAMED, "--now"]
    assert rolling == OF_HOUR
    for moment in (counting[-1], repairing[-1]):
        assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(moment)) < timedelta(minutes=15)


def test_dags_test_does_the_hour_it_names(airflow: Airflow) -> None:
    airflow.run("dags", "test", HOURLY, DATE)
    check_hour(airflow.submitted())


def test_dags_test_without_a_date_is_refused(airflow: Airflow) -> None:
    """It takes now for its date, and the hour of now has not ended."""
    told = airflow.run("dags", "test", HOURLY)
    assert "has not ended yet" in told
    assert airflow.submitted() == []


def test_an_incomplete_hour_is_waited_for_without_using_up_retries(airflow: Airflow) -> None:
    (airflow.folder / "incomplete").write_text("2")
    told = airflow.run("dags", "test", HOURLY, "2025-03-06T07:00:00+00:00")
    jobs = [job for job, *_ in airflow.submitted()]
    assert jobs == ["aggregate_hours"] * 3 + ["repair", "roll_up"]
    assert told.count("the input is not complete yet") >= 2
    tries = "SELECT max(try_number) FROM task_instance WHERE dag_id = ?"
    assert airflow._sql(tries, HOURLY) == [(1,)] or airflow._sql(tries, HOURLY) == [(0,)]


def test_trigger_does_the_hour_it_names(running: Airflow) -> None:
    """Airflow gives such a run the data interval of now."""
    running.run("dags", "trigger", HOURLY, "--logical-date", "2025-03-07T07:00:00+00:00")
    run = running.newest_run(HOURLY)
    assert set(running.states(HOURLY, run).values()) == {"success"}
    assert [job[1:5] for job in running.submitted()][::2] == [
        ["--start", "2025-03-07T07", "--end", "2025-03-07T08"]
    ] * 2


@pytest.mark.parametrize("dag", [HOURLY, DAILY])
@pytest.mark.parametrize("by_api", [False, True], ids=["by the command line", "by the API"])
def test_a_run_without_a_date_is_refused(running: Airflow, dag: str, by_api: bool) -> None:
    if by_api:
        running.post(f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})
    else:
        running.run("dags", "trigger", dag)
    run = running.newest_run(dag)
    states = running.states(dag, run)
    first = "aggregate_hours" if dag == HOURLY else "name_the_day"
    assert states.pop(first) == "failed"
    assert set(states.values()) <= {"upstream_failed", "skipped", None, "success"}
    assert running.submitted() == []
    assert "this run was started by hand and names no" in running.log_of(dag, run, first)


def test_the_api_does_the_day_it_names(running: Airflow) -> None:
    """Its last hour was rolled up by hand, too."""
    running.run("dags", "trigger", HOURLY, "--logical-date", "2025-03-08T23:00:00+00:00")
    assert set(running.states(HOURLY, running.newest_run(HOURLY)).values()) == {"success"}
    running.submitted()
    run = running.post(f"/api/v2/dags/{DAILY}/dagRuns", {"logical_date": "2025-03-08T00:00:00Z"})["dag_run_id"]
    assert set(running.states(DAILY, run).values()) == {"success"}
    submitted = running.submitted()
    begin, end = "2025-03-08T00", "2025-03-09T00"
    assert ["load_redis", "--as-of", end] in submitted
    assert ["evaluate", "--as-of", begin, "--end", end] in submitted
    assert sorted(job[2] for job in submitted if job[0] == "train_als") == [begin, end]


def test_a_backfill_does_the_hours_it_names(running: Airflow) -> None:
    running.run(
        "backfill", "create", "--dag-id", HOURLY, "--from-date", "2025-03-09T05:00:00+00:00",
        "--to-date", "2025-03-09T05:00:00+00:00", "--reprocess-behavior", "failed",
    )  # fmt: skip
    run = running.newest_run(HOURLY, "backfill")
    assert set(running.states(HOURLY, run).values()) == {"success"}
    assert running.submitted()[0][1:5] == ["--start", "2025-03-09T05", "--end", "2025-03-09T06"]
