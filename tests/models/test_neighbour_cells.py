"""Neighbours by cells beside the exact ones, on vectors that lie in clusters as pictures do."""

from __future__ import annotations

import numpy as np
import pytest

from models.neighbour_cells import Cells, filed, nearest_in_cells, recall
from models.neighbour_rules import OTHER, Pictures, Rules, nearest_by_rules, traits_of
from models.neighbours import NOBODY, unit_length

N, D, TOP = 5000, 16, 10


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    random = np.random.default_rng(11)
    kinds = random.normal(size=(60, D))
    vectors = unit_length(kinds[random.integers(0, 60, N)] + 0.5 * random.normal(size=(N, D)))
    categories = [f"D{number}/x" for number in random.integers(0, 3, N)]
    return Pictures(vectors, traits_of(categories, [None] * N, [None] * N))


def found_in(pictures: Pictures, cells: Cells, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `pictures` that are found for the first hundred, and the exact ones."""
    listed = pictures.of(cells.order)
    place_of = np.argsort(cells.order)[:100]
    asked = pictures.of(np.arange(100))
    found, scores = nearest_in_cells(asked, place_of, listed, TOP, rules, cells)
    assert (np.diff(scores, axis=1) <= 0).all()
    exact, _ = nearest_by_rules(asked, np.arange(100), pictures, TOP, rules)
    return np.where(found == NOBODY, NOBODY, cells.order[found]), exact


def test_every_vector_lies_in_one_cell(pictures: Pictures) -> None:
    cells = filed(pictures.vectors, 4, seed=1)
    assert sorted(cells.order.tolist()) == list(range(N))
    assert cells.starts[0] == 0 and cells.starts[-1] == N and (np.diff(cells.starts) >= 0).all()
    assert (cells.near[:, 0] == np.arange(len(cells.centres))).all()


@pytest.mark.parametrize("rules", [Rules(), Rules(department=OTHER, fold_above=0.99)], ids=str)
def test_few_cells_find_nearly_all_and_all_cells_find_all(pictures: Pictures, rules: Rules) -> None:
    few, exact = found_in(pictures, filed(pictures.vectors, 12, seed=1), rules)
    assert recall(few, exact) > 0.9
    everything, exact = found_in(pictures, filed(pictures.vectors, N, seed=1), rules)
    assert recall(everything, exact) == 1
    assert not (few == np.arange(100)[:, None]).any()  # nobody finds itself


def test_the_same_seed_files_alike(pictures: Pictures) -> None:
    one, other = (filed(pictures.vectors, 4, seed=3) for _ in range(2))
    assert (one.order == other.order).all() and (one.near == other.near).all()


def test_recall_counts_what_is_there() -> None:
    exact = np.array([[1, 2], [3, NOBODY]])
    assert recall(exact, exact) == 1
    assert recall(np.array([[2, 9], [NOBODY, NOBODY]]), exact) == pytest.approx(1 / 3)
    assert recall(np.full((1, 2), NOBODY), np.full((1, 2), NOBODY)) == 1
