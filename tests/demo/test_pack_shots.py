"""Pack shots: the same product gives the same bytes; shots of a type look alike, but not pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demo.pack_emblems import EMBLEMS
from demo.pack_forms import FORMS
from demo.pack_loose import SHAPES
from demo.pack_rules import _EMBLEM_RULES, _FORM_RULES, ABSTRACT, emblem_of, form_of, ounces_of, skin_of
from demo.pack_shots import Product, pack_shot, render_pack_shots

SOUP = Product("1", "69", "GROCERY", "Private", "SOUP", "CONDENSED SOUP", "10.5 OZ")


@pytest.fixture
def products() -> pd.DataFrame:
    apples = replace(
        SOUP, product_id="a/b", department="PRODUCE", product_category="APPLES", product_type="APPLES GALA"
    )
    return pd.DataFrame([vars(SOUP), vars(replace(SOUP, product_id="2", brand="National")), vars(apples)])


def test_the_same_product_has_the_same_bytes_whatever_is_drawn_beside_it(
    products: pd.DataFrame, tmp_path: Path
) -> None:
    together = render_pack_shots(products, tmp_path / "together")
    alone = render_pack_shots(products.tail(1).to_dict("records"), tmp_path / "alone")
    name = alone["a/b"]
    assert (tmp_path / "together" / together["a/b"]).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_several_processes_draw_what_one_does(tmp_path: Path) -> None:
    many = [vars(replace(SOUP, product_id=str(i))) for i in range(70)]
    render_pack_shots(many, tmp_path / "one", size=32, processes=1)
    render_pack_shots(many, tmp_path / "two", size=32, processes=2)
    for name in ("0.jpg", "69.jpg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_shot_that_is_there_is_left_alone(products: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"mine")
    files = render_pack_shots(products, tmp_path)
    assert files == {"1": "1.jpg", "2": "2.jpg", "a/b": "a%2Fb.jpg"}
    assert (tmp_path / "1.jpg").read_bytes() == b"mine"
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_product_of_nothing_but_an_id_is_drawn(tmp_path: Path) -> None:
    assert render_pack_shots([{"product_id": "7", "package_size": float("nan")}], tmp_path) == {"7": "7.jpg"}


def test_two_products_of_one_type_and_maker_are_not_the_same_picture() -> None:
    one, other = pack_shot(SOUP), pack_shot(replace(SOUP, product_id="2"))
    assert np.abs(one.astype(int) - other).mean() > 10


def test_every_rule_names_something_that_can_be_drawn() -> None:
    forms = {answer for _, answer in _FORM_RULES}
    assert {form for form in forms if not form.startswith("loose:")} <= set(FORMS)
    assert {form.removeprefix("loose:") for form in forms if form.startswith("loose:")} <= set(SHAPES)
    assert {answer for _, answer in _EMBLEM_RULES} | set(ABSTRACT) <= set(EMBLEMS)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_package_can_be_drawn(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.pack_shots.form_of", lambda words: form)
    assert pack_shot(SOUP, 48).std() > 5


@pytest.mark.parametrize(
    ("words", "form", "emblem"),
    [
        ("GROCERY SOUP CONDENSED SOUP", "can", "bowl"),
        ("GROCERY YOGURT YOGURT NOT MULTI-PACKS", "tub", "drop"),
        ("GROCERY YOGURT YOGURT MULTI-PACKS", "case", "drop"),
        ("GROCERY COLD CEREAL KIDS CEREAL", "box", "bowl"),
        ("PRODUCE TROPICAL FRUIT BANANAS", "loose:banana", "apple"),
        ("GROCERY BATH TISSUES TOILET TISSUE", "rolls", "flower"),
        ("NOTHING KNOWN", "box", "star"),
    ],
)
def test_words_choose_package_and_picture(words: str, form: str, emblem: str) -> None:
    assert (form_of(words), emblem_of(words, 0)) == (form, emblem)


def test_skins_are_three_colours() -> None:
    assert len(skin_of("PRODUCE CITRUS LEMONS")) == len(skin_of("")) == 3


@pytest.mark.parametrize(
    ("size", "ounces"), [("14.5 OZ", 14.5), ("2 LB", 32), ("1/2 GA", 64), ("PT", 16), ("", 14), ("0 OZ", 0.5)]
)
def test_package_sizes_in_ounces(size: str, ounces: float) -> None:
    assert ounces_of(size) == ounces
