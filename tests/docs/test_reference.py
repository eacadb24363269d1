"""The pages that are written from the code are up to date, and every setting is described alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import larder.settings
from larder.cli.reference import DOCS, pages

PAGES = pages()
SECTIONS = [each for each in vars(larder.settings).values() if isinstance(each, type) and issubclass(each, BaseModel)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_written_from_the_code_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], f"run `make reference` and commit docs/{path.name}"


def test_the_settings_page_has_every_setting() -> None:
    text = PAGES[DOCS / "settings.md"]
    for section, field in larder.settings.Settings.model_fields.items():
        named = get_args(field.annotation)  # of dict[str, section]: sections with names of their own
        title, of = (f"{section}.NAME", named[1]) if named else (section, field.annotation)
        part = text.partition(f"## [{title}]\n")[2].partition("\n## ")[0]
        for name, setting in of.model_fields.items():
            assert f"\n| `{setting.alias or name}` |" in part, f"{title}.{name}"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_description_is_a_sentence(section: type[BaseModel]) -> None:
    wrong = [
        name
        for name, field in section.model_fields.items()
        if section is not larder.settings.Settings and not re.fullmatch(r"[A-Z].*[.?]", field.description or "")
    ]
    assert wrong == []
