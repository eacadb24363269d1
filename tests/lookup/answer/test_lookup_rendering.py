"""Scores as text, digit by digit as a compiled endpoint writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from larder.lookup import number_formatting


def written(score: float) -> str:
    out = BytesWriter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_formatting, "COMPILED", True)
        number_formatting.write_score(out, score)
    return out.getvalue().decode()


SCORES = """
    0 1 0.5 10 12345 99999 99999.6 123456 0.1 0.099996 0.99999 0.999996 0.0001 0.00099999 9.99995e-5 1.5e-7 1.0001
    65504 3.0000001 9999.96 1e9 0.996078431372549
"""


@pytest.mark.parametrize("score", map(float, SCORES.split()))
def test_a_score_is_written_as_the_format_has_it(score: float) -> None:
    assert written(score) == f"{score:.5g}"


@given(st.floats(0, 1e6))
def test_any_score_is_right_to_its_last_digit(score: float) -> None:
    # A tie that only exact arithmetic can see may fall to the other side.
    assert float(written(score)) == pytest.approx(float(f"{score:.5g}"), rel=1.1e-4)


@given(st.integers(0, 255), st.floats(2**-10, 6e4, width=16))
def test_scores_of_records(step: int, top: float) -> None:
    score = step * (top / 255)
    assert written(score) == f"{score:.5g}" or float(written(score)) == pytest.approx(score, rel=1e-4)
