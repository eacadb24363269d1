"""`larder bundle`: one archive with all that Spark's tasks import."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from larder.cli.main import app

IMPORTING = """
import importlib, pkgutil, sys
sys.path = [sys.argv[1], *(path for path in sys.path if "larder" not in path)]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
import larder.jobs, larder.models, larder.loaders
assert larder.__file__.startswith(sys.argv[1]), larder.__file__
for name in ("jobs.train_als", "jobs.aggregate_hours", "jobs.precompute", "jobs.load_redis", "models.tables"):
    importlib.import_module(f"larder.{name}")
print("imported")
"""


def bundle(path: Path) -> str:
    done = CliRunner().invoke(app, ["bundle", "--to", str(path)])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_holds_what_tasks_import_under_one_name(tmp_path: Path) -> None:
    bundle(tmp_path / "larder.zip")
    with zipfile.ZipFile(tmp_path / "larder.zip") as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"larder"}
    assert {name.split("/")[1] for name in names} - {"__init__.py", "py.typed"} == {
        *("experiments", "jobs", "kernels.py", "models", "loaders", "storage", "settings")
    }
    assert {"larder/jobs/runtime/find_gpus.sh", "larder/jobs/runtime/log4j2.properties"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_same_code_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        bundle(tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bundle", "--to", str(tmp_path / "absent" / "larder.zip")])
    assert done.exit_code == 2
    assert "there is no folder" in done.output


@pytest.mark.end_to_end
def test_jobs_import_from_the_archive_alone(tmp_path: Path) -> None:
    bundle(tmp_path / "larder.zip")
    command = [sys.executable, "-c", IMPORTING, str(tmp_path / "larder.zip")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("imported\n", 0), done.stderr
