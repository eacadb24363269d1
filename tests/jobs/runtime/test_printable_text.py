"""Ids from events and catalogues never command a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.printable_text import printable
from larder.loaders.mask_sets import NoProductError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p1 Größe 靴", "p1 Größe 靴"),
        ("\x1b[2Jp1", "\\x1b[2Jp1"),
        ("a\r\nb\x07", "a\\r\\nb\\x07"),
        ("\u202eabc\x9b", "\\u202eabc\\x9b"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_whatever_comes_is_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_an_error_that_names_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), errors_in_a_line():
        raise NoProductError("no \x1b]0;title\x07 here;\nname another")
    assert capsys.readouterr().err == "larder: no \\x1b]0;title\\x07 here;\nname another\n"
