"""Every question in docs/architecture.md is answered by files that exist."""

from __future__ import annotations

import re

from repository import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^\| ([^|]*\?) \| ([^|]*) \|$", PAGE.partition("## Where is it?")[2], re.MULTILINE)
JOBS = {f"jobs/{path.name}" for path in (ROOT / "jobs").glob("*.py")} - {"jobs/__init__.py"}


def test_at_least_25_questions_have_a_file() -> None:
    assert len(QUESTIONS) >= 25
    for question, answer in QUESTIONS:
        files = re.findall(r"`([^`]+\.py)`", answer)
        assert files, question
        assert [name for name in files if not (ROOT / name).is_file()] == [], question


def test_every_job_but_the_search_stands_in_its_stage() -> None:
    stages = PAGE.partition("## The stages")[2].partition("## The rooms")[0]
    assert set(re.findall(r"`(jobs/\w+\.py)`", stages)) == JOBS - {"jobs/search_vision.py"}
