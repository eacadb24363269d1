"""The command line: verbs in the order of the flow, errors in a line, and what operators do with releases."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from repository import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from larder.cli import main as cli
from larder.jobs.evaluate import GateError
from larder.jobs.runtime.job_arguments import COMMANDS, parse
from larder.loaders import publisher
from larder.loaders.embedded import embedded_server
from larder.loaders.releases import Release, Releases
from larder.models.hours import hour_partition
from larder.storage import DataFile, MissingPartitionError, Tables
from larder.storage.manifests import plan_run

LINES, COLUMNS = 62, 80


def test_help_lists_every_verb_under_its_stage_in_the_order_of_the_flow() -> None:
    text = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": str(COLUMNS), "TERM": "dumb"}).output
    listed: dict[str, list[str]] = {}
    for line in text.partition("exit.")[2].splitlines():
        if line and not line.startswith(" "):
            stage = line.rstrip(":").lower()
        elif line.strip():
            listed.setdefault(stage, []).append(line.split()[0])
    assert listed == {stage: list(verbs) for stage, verbs in cli.STAGES.items()}
    assert "..." not in text.partition("exit.")[2]
    assert all(len(line) <= COLUMNS for line in text.splitlines())
    assert len(text.splitlines()) <= LINES


def test_every_verb_has_a_stage_and_a_job_its_own() -> None:
    staged = {verb: stage for stage, verbs in cli.STAGES.items() for verb in verbs}
    registered = {name for name, each in get_command(cli.app).commands.items() if not each.hidden}
    assert registered == staged.keys()
    assert {each.group or each.verb: each.stage for each in COMMANDS.values()}.items() <= staged.items()


def test_every_job_has_a_file_and_every_file_of_a_job_a_verb() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"__init__"}
    assert files == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_verb_and_its_job_have_the_same_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in (COMMANDS[name].group, COMMANDS[name].verb) if word]
    of_verb = CliRunner().invoke(cli.app, [*words, "--help"]).output
    with pytest.raises(SystemExit):
        parse(name, ["--help"])
    of_job = capsys.readouterr().out
    assert of_verb.replace(f"larder {' '.join(words)}", f"{name}.py").split() == of_job.split()


Run = Callable[..., tuple[object, str]]


@pytest.fixture
def larder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in this process: exit code, and what it said on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["larder", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return run


def test_a_settings_file_that_is_not_there_is_a_line(larder: Run) -> None:
    code, said = larder("status", "--settings", "absent.toml")
    assert code == 1
    assert said.startswith("larder: no settings file at absent.toml")
    assert said.count("\n") == 1


def test_settings_that_do_not_fit_are_a_line_each(larder: Run, tmp_path: Path) -> None:
    (tmp_path / "larder.toml").write_text("[redis]\nkeep_releases = 1\n[als]\nrank = 0\n")
    for verb in ("status", "rollback", "serve"):
        code, said = larder(verb)
        assert code == 1
        first, *others = said.splitlines()
        assert first.startswith("larder: settings do not fit, in larder.toml")
        assert [line.split(":")[0].strip() for line in others] == ["als.rank", "redis.keep_releases"]


def test_a_server_that_is_not_there_is_a_line(larder: Run, tmp_path: Path) -> None:
    (tmp_path / "larder.toml").write_text("[redis]\nurl = 'redis://127.0.0.1:1'\n")
    code, said = larder("status")
    assert code == 1
    assert said.startswith("larder: Redis: ")
    assert "redis.url" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://:pa/ss@127.0.0.1"])
def test_a_redis_url_that_is_none_is_a_line_without_the_password(larder: Run, tmp_path: Path, url: str) -> None:
    (tmp_path / "larder.toml").write_text(f"[redis]\nurl = '{url}'\n")
    code, said = larder("status")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(("larder: redis.url names no server", "larder: redis.url can't be read"))
    assert "pa" not in said.removeprefix("larder: redis.url").replace("password", "")


def test_a_folder_that_can_not_be_made_for_a_server_is_a_line(larder: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "larder.toml").write_text("[redis]\ndirectory = 'file/redis'\n")
    code, said = larder("status")
    assert (code, said.count("\n")) == (1, 1)
    assert "(redis.directory) can't be made" in said and "set redis.url" in said


@pytest.mark.parametrize(
    ("url", "told"), [("nowhere", "is not an endpoint of Larder"), ("http://127.0.0.1:1", "no endpoint answers at")]
)
def test_what_is_no_endpoint_explains_nothing(larder: Run, url: str, told: str) -> None:
    code, said = larder("explain", "--url", url)
    assert (code, said.count("\n")) == (1, 1)
    assert told in said


@pytest.mark.parametrize(
    ("settings", "start", "told"),
    [
        ("", "1970-01-01", "lookup.journey is empty"),
        ("[lookup]\njourney = 'journal'\n", "1970-01-02", "--start 1970-01-02 is not before --end 1970-01-02"),
        ("[lookup]\njourney = 'journal'\n", "1970-01-01", "no folder at"),
    ],
)
def test_a_report_of_nothing_says_why(larder: Run, tmp_path: Path, settings: str, start: str, told: str) -> None:
    (tmp_path / "larder.toml").write_text(settings)
    code, said = larder("report", "routes", "--start", start, "--end", "1970-01-02")
    assert (code, said.count("\n")) == (1, 1)
    assert told in said


def test_hours_that_are_not_aggregated_set_nothing_aside(larder: Run) -> None:
    code, said = larder("quarantine", "--start", "1970-01-01", "--end", "1970-01-02")
    assert (code, said.count("\n")) == (1, 1)
    assert "run `larder aggregate-hours --start 1970-01-01T00 --end 1970-01-02T00` first" in said
    code, said = larder("quarantine", "--start", "1970-01-02", "--end", "1970-01-02")
    assert (code, said) == (1, "larder: --start 1970-01-02 is not before --end 1970-01-02\n")


def test_an_unknown_verb_is_refused(larder: Run) -> None:
    code, said = larder("reheat")
    assert code == 2
    assert "reheat" in said


def test_arguments_of_a_job_go_to_the_job(larder: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert larder("roll-up", "--help") == (0, "")
    code, said = larder("roll-up", "--start", "2017-12-03T00")
    assert code == 2
    assert "--end" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MissingPartitionError("table x has no partition y"), "larder: table x has no partition y\n"),
        (GateError("worse than popularity"), "larder: worse than popularity\n"),
        (
            ModuleNotFoundError("No module named 'pyspark'", name="pyspark"),
            "larder: No module named 'pyspark'; install the extra",
        ),
    ],
)
def test_what_a_job_lacks_is_a_line(larder: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fail(_: Namespace) -> None:
        raise error

    job = SimpleNamespace(start=fail)
    monkeypatch.setattr("larder.cli.main.importlib", SimpleNamespace(import_module=lambda _: job))
    code, text = larder("train-als", "--as-of", "2017-12-04")
    assert code == 1
    assert text.startswith(said)
    assert text.count("\n") == 1


def set_aside(tables: Tables, table: str, partition: str, rows: list[tuple[str, str, str]]) -> None:
    planned = plan_run(table, partition, {}, {})
    place = tables.run_folder(planned) / "part-00000.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(("source", "reason", "raw"), zip(*rows, strict=True), strict=True))), sink)
    place.write(sink.getvalue())
    tables.publish(replace(planned, files=(DataFile("part-00000.parquet", len(rows), sink.getvalue().size),)))


def quarantine_shown(folder: Path, *arguments: str) -> list[list[str]]:
    file = folder / "larder.toml"
    file.write_text("[storage]\ntables = 'tables'\n")
    done = CliRunner().invoke(cli.app, ["quarantine", *arguments, "--settings", str(file)], env={"COLUMNS": "100"})
    assert done.exit_code == 0
    return [line.strip().split(maxsplit=2) for line in done.output.splitlines()[1:]]


def test_what_was_set_aside_is_shown_commonest_first_with_an_example(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path / "tables"))
    some = [("f", "too_late", '{"a": "[/b]"}'), ("f", "bad_type:ts", "{}")]
    set_aside(tables, "quarantine", hour_partition(0), some)
    set_aside(tables, "quarantine", hour_partition(1), [("g", "too_late", "{}"), ("h", "unreadable_file", "no magic")])
    found = quarantine_shown(tmp_path, "--start", "1970-01-01T00", "--end", "1970-01-01T03")
    other = [["bad_type:ts", "1", "{}"], ["unreadable_file", "1", "h: no magic"]]
    assert found == [["too_late", "2", '{"a": "[/b]"}'], *other]


def test_pictures_that_were_set_aside_are_shown_by_file(tmp_path: Path) -> None:
    rows = [("s3a://b/1.jpg", "animated", "p1"), ("s3a://b/2.jpg", "truncated", "p2"), ("b", "truncated", "p3")]
    set_aside(Tables(str(tmp_path / "tables")), "image_quarantine", "catalogue", rows)
    found = quarantine_shown(tmp_path, "--pictures")
    assert found == [["truncated", "2", "b"], ["animated", "1", "s3a://b/1.jpg"]]


def test_neither_a_window_nor_pictures_is_a_mistake() -> None:
    done = CliRunner().invoke(cli.app, ["quarantine", "--start", "1970-01-01"])
    assert done.exit_code == 2
    assert "--pictures" in done.output


def test_a_window_of_no_hour_is_a_line(larder: Run) -> None:
    code, said = larder("quarantine", "--start", "noon", "--end", "1970-01-01")
    assert (code, said.count("\n")) == (1, 1)
    assert "'noon' is not an hour" in said


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Settings of an embedded server that holds two releases."""
    with embedded_server(tmp_path / "redis") as url, redis.Redis.from_url(url) as client:
        releases = Releases(client, "larder")
        for number, name in enumerate(("r1", "r2"), 1):
            records = {"c": 1000 * number, "p": 20, "g": 3}
            release = publisher.stage(releases, publisher.plan(name, f"2017-12-0{number}T00", records, 0, 10_000))
            for kind, count in records.items():
                client.hset(releases.keys.bucket(name, kind, 0), mapping={str(each): b"" for each in range(count)})
            publisher.complete(releases, release, 0, True)
            releases.flip(name)
        releases.register(Release("r3", "2017-12-03T00", 3))
    file = tmp_path / "larder.toml"
    file.write_text("[redis]\ndirectory = 'redis'\n")
    return file


def in_own_process(settings: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "larder", *arguments, "--settings", str(settings)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "TERM": "dumb"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:-1]}


@pytest.mark.end_to_end
def test_operators_see_releases_and_go_back(kept: Path) -> None:
    code, said, wrong = in_own_process(kept, "status")
    assert (code, wrong) == (0, "")
    assert table(said) == {
        "r3": ["2017-12-03T00", "staged", "0", "0", "0"],
        "r2": ["2017-12-02T00", "live", "2,000", "20", "3"],
        "r1": ["2017-12-01T00", "verified", "1,000", "20", "3"],
    }
    assert said.splitlines()[-1] == "live: r2   a rollback goes to: r1"
    code, said, _ = in_own_process(kept, "rollback")
    assert code == 0
    assert said.splitlines()[-1] == "live: r1   a rollback goes to: r2"
    code, said, _ = in_own_process(kept, "rollback", "--to", "r2")
    assert said.splitlines()[-1] == "live: r2   a rollback goes to: r1"
    for name, state in (("r3", "staged"), ("r9", "unknown")):
        code, said, wrong = in_own_process(kept, "rollback", "--to", name)
        assert (code, said) == (1, "")
        assert wrong.startswith(f"larder: release {name} is {state}, not verified, and was not made live; ")
        assert wrong.count("\n") == 1


@pytest.mark.end_to_end
def test_without_releases_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    file = tmp_path / "larder.toml"
    file.write_text("[redis]\ndirectory = 'redis'\n")
    code, said, _ = in_own_process(file, "status")
    assert (code, said.splitlines()[-1]) == (0, "live: none   a rollback goes to: none")
    code, _, wrong = in_own_process(file, "rollback")
    assert code == 1
    assert wrong.startswith("larder: no release was live before this one")
    assert wrong.count("\n") == 1
