"""`larder doctor`: what it finds wrong, what it says to do, and that it prints no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from larder.cli.installation import installed, versions
from larder.cli.main import app
from larder.cli.settings_in_force import HIDDEN, shown
from larder.jobs.runtime.spark_versions import hadoop_version
from larder.loaders.embedded import embedded_server

SECRET = "hunter2"


def doctor(settings: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", "--settings", str(settings)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


def test_versions_name_spark_its_java_and_the_hadoop_that_s3_needs() -> None:
    found = {finding.name: finding.state for finding in versions()}
    assert f"pyspark {installed('pyspark')}" in found["larder[jobs]"]
    assert f"hadoop-aws:{hadoop_version()}" in found["hadoop"]
    assert "Spark" in found["java"]


def test_a_server_that_is_not_there_is_told_with_a_remedy_and_no_password(tmp_path: Path) -> None:
    file = tmp_path / "larder.toml"
    file.write_text(f"[redis]\nurl = 'redis://larder:{SECRET}@127.0.0.1:1/0'\n")
    code, said = doctor(file)
    assert code == 1
    assert "check redis.url" in said
    assert SECRET not in said


def test_settings_that_do_not_fit_are_told(tmp_path: Path) -> None:
    file = tmp_path / "larder.toml"
    file.write_text("[als]\nrank = 0\n")
    code, said = doctor(file)
    assert code == 1
    assert "als.rank" in said


@pytest.mark.end_to_end
def test_what_works_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    with embedded_server(str(tmp_path / "redis")) as url:
        file = tmp_path / "larder.toml"
        file.write_text(f"[storage]\nevents = 'events'\ntables = 'tables'\n[redis]\nurl = '{url}'\n")
        code, said = doctor(file)
    assert code == 0, said
    assert "can be read" in said and "can be written" in said and "no release is live yet" in said
    assert "Nothing to mend." in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", f"redis://:{SECRET}@host:1/0"),
        ("api_keys", {"shop": SECRET}),
        ("kafka_options", {"sasl.password": SECRET}),
    ],
)
def test_no_secret_is_shown(name: str, value: object) -> None:
    text = shown(name, value)
    assert SECRET not in text
    assert HIDDEN in text
