"""Category paths as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from larder.models.encoding.category_paths import category_levels, path_prefixes
from larder.models.lists.category_lists import best_sellers_by_path
from larder.models.search.constraints import UNKNOWN, product_traits
from larder.models.vision.network import label_list


def test_each_beginning_of_a_path_has_a_number() -> None:
    paths = ["Food/Dairy/Milk", "Food/Dairy/Cheese/Hard", "Food/Dairy/Cheese/Soft", "Food", None, "Fuel/Dairy"]
    found = category_levels(paths)
    department, aisle, whole = found.levels.T.tolist()
    assert department == [0, 0, 0, 0, -1, 1]
    assert aisle == [1, 1, 1, 0, -1, 2]  # `Food` alone, Food/Dairy, Fuel/Dairy
    assert len(set(whole)) == len(paths)
    assert whole[4] == -1
    assert found.whole.tolist() == whole


@pytest.mark.parametrize(
    ("path", "beginnings"),
    [
        ("A/B/C", ["A", "A/B", "A/B/C"]),
        ("A", ["A"]),
        ("A//B/", ["A", "A/B"]),
        ("/A/B", ["A", "A/B"]),
        ("/", []),
        ("", []),
        (None, []),
    ],
)
def test_the_beginnings_of_a_path(path: str | None, beginnings: list[str]) -> None:
    assert path_prefixes(path) == beginnings


def test_an_empty_name_is_none_wherever_paths_are_read() -> None:
    paths = ["Food/Milk", "/Food/Milk", "Food//Milk/", "/", "Fuel"]
    assert category_levels(paths).levels.tolist() == [[0, 0, 0]] * 3 + [[-1] * 3, [1, 1, 1]]
    departments = product_traits(paths, [None] * 5, [None] * 5).departments.tolist()
    assert departments[0] == departments[1] == departments[2] != departments[4]
    assert departments[3] == UNKNOWN
    assert set(best_sellers_by_path(np.arange(5), paths, np.ones(5), 5)) == {"Food", "Food/Milk", "Fuel"}
    assert label_list(dict.fromkeys(paths, 1), 1) == ["Food", "Food/Milk", "Fuel"]


def test_no_products() -> None:
    assert category_levels([]).levels.shape == (0, 3)
