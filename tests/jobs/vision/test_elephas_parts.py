"""Where Elephas is missing, lacks a package or is another, one line says so and how to install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.end_to_end

# As training does: in a process where some packages are as the folder in front of the path has them.
TRAIN = """
import sys
sys.path.insert(0, sys.argv[1])
for absent in sys.argv[2:]:
    sys.modules[absent] = None
from larder.jobs.runtime.expected_errors import errors_in_a_line
with errors_in_a_line():
    import larder.jobs.vision.data_parallel
"""
INSTALL = "pip install --no-deps --ignore-requires-python elephas==7.3.0"


def told(folder: Path, *absent: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", TRAIN, str(folder), *absent]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("larder: ")]


def test_an_elephas_that_is_not_there_is_told_with_its_installation(tmp_path: Path) -> None:
    code, [line] = told(tmp_path, "elephas")
    assert code == 1
    assert "Elephas, which trains the vision model, is not installed" in line
    assert line.endswith(INSTALL)


def test_a_package_that_elephas_needs_is_named(tmp_path: Path) -> None:
    code, [line] = told(tmp_path, "flask")
    assert code == 1
    assert "Elephas needs the package flask" in line and "pip install 'larder[vision]'" in line


@pytest.mark.parametrize(
    ("worker", "why"),
    [
        ("class SparkWorker:\n    def __init__(self, model): ...\n", "its SparkWorker takes model"),
        ("class Worker: ...\n", "has no attribute 'SparkWorker'"),
        ("from numpy import no_such_name\n", "cannot import name 'no_such_name' from 'numpy'"),
    ],
)
def test_another_elephas_is_told_with_the_versions_around_it(tmp_path: Path, worker: str, why: str) -> None:
    package = tmp_path / "elephas"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "spark_model.py").write_text("class SparkModel: ...\n")
    (package / "utils.py").write_text("def subtract_params(): ...\n")
    (package / "worker.py").write_text(worker)
    code, [line] = told(tmp_path)
    assert code == 1
    assert "does not work with tensorflow" in line and "numpy" in line and why in line
    assert line.endswith(INSTALL)
