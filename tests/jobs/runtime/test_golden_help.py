"""The interface of every job is on file, so that a change of it is seen in review.

Where a change is meant: COLUMNS=100 python jobs/NAME.py --help > tests/jobs/runtime/golden/NAME.txt
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from repository import ROOT

GOLDEN = Path(__file__).parent / "golden"
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if "def parse_arguments(" in path.read_text())


@pytest.mark.parametrize("job", JOBS)
def test_help_is_what_is_on_file(job: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"larder.jobs.{job}").parse_arguments(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == (GOLDEN / f"{job}.txt").read_text()


def test_no_help_is_on_file_of_a_job_that_is_gone() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == JOBS
