"""Neighbours by cells beside the exact ones, on vectors that lie in clusters as pictures do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from larder.models.search import ivf
from larder.models.search.constraints import (
    OTHER,
    SAME,
    NeighbourConstraints,
    ProductVectors,
    nearest_allowed,
    product_traits,
)
from larder.models.search.exact import NO_NEIGHBOUR, unit_length
from larder.models.search.ivf import (
    InvertedFile,
    _pairs,
    build_inverted_file,
    nearest_allowed_in_cells,
    recall,
    widened_to_recall,
)

N, D, TOP, ASKED = 5000, 16, 10, np.arange(100)


def pictures_of(kinds: int) -> ProductVectors:
    random = np.random.default_rng(11)
    centres = random.normal(size=(kinds, D))
    vectors = unit_length(centres[random.integers(0, kinds, N)] + 0.5 * random.normal(size=(N, D)))
    categories = [f"D{number}/x" for number in random.integers(0, 3, N)]
    prices = [None if price < 1 else float(price) for price in random.integers(0, 9, N)]
    return ProductVectors(vectors, product_traits(categories, prices, [None] * N))


@pytest.fixture(scope="module")
def pictures() -> ProductVectors:
    return pictures_of(60)


@pytest.fixture(scope="module")
def cells(pictures: ProductVectors) -> InvertedFile:
    return build_inverted_file(pictures.vectors, 24, seed=1)


def found_in(
    pictures: ProductVectors, cells: InvertedFile, rules: NeighbourConstraints
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `pictures` that are found for the first hundred, and the exact ones."""
    listed, places = pictures.of(cells.order), np.argsort(cells.order)[ASKED]
    found, scores = nearest_allowed_in_cells(pictures.of(ASKED), places, listed, TOP, rules, cells)
    exact, _ = nearest_allowed(pictures.of(ASKED), ASKED, pictures, TOP, rules)
    assert (np.diff(np.where(np.isinf(scores), -2, scores), axis=1) <= 0).all()
    return np.where(found == NO_NEIGHBOUR, NO_NEIGHBOUR, cells.order[found]), exact


def test_every_vector_lies_in_one_cell(cells: InvertedFile) -> None:
    assert sorted(cells.order.tolist()) == list(range(N))
    assert cells.starts[0] == 0 and cells.starts[-1] == N and (np.diff(cells.starts) >= 0).all()


@pytest.mark.parametrize(
    "rules",
    [
        NeighbourConstraints(),
        NeighbourConstraints(department=SAME, price_ratio=2),
        NeighbourConstraints(department=OTHER, fold_above=0.99),
        NeighbourConstraints(fold_above=0.7),
    ],
    ids=str,
)
def test_few_cells_find_nearly_all_and_all_cells_find_all(
    pictures: ProductVectors, cells: InvertedFile, rules: NeighbourConstraints
) -> None:
    few, exact = found_in(pictures, cells, rules)
    assert recall(few, exact) > 0.9
    assert not (few == ASKED[:, None]).any()  # nobody finds itself
    everything, exact = found_in(pictures, replace(cells, reach=-np.inf), rules)
    np.testing.assert_array_equal(everything, exact)


def test_a_query_looks_into_so_many_cells_in_the_mean_and_into_its_nearest(
    pictures: ProductVectors, cells: InvertedFile
) -> None:
    (queries, nearest_cells), (askers, others) = _pairs(pictures.vectors, cells)
    assert queries.tolist() == list(range(N))
    np.testing.assert_array_equal(nearest_cells, (pictures.vectors @ cells.centres.T).argmax(axis=1))
    assert not (others == nearest_cells[askers]).any()
    assert cells.probes == pytest.approx(24, rel=0.05)
    assert 1 + len(askers) / N == pytest.approx(24, rel=0.1)  # of all, where `probes` is of a sample
    assert len(_pairs(pictures.vectors, replace(cells, reach=np.inf))[1][0]) == 0


def test_the_reach_finds_the_share_that_is_wanted_where_lists_reach_across_kinds() -> None:
    pictures = pictures_of(N // 5)
    cells = build_inverted_file(pictures.vectors, 1, seed=1)
    exact = np.argsort(cells.order)[found_in(pictures, cells, NeighbourConstraints())[1]]
    assert widened_to_recall(cells, 0, pictures.vectors[ASKED], exact) is cells
    probes = [cells.probes]
    for share in (0.5, 0.9, 1):
        enough = widened_to_recall(cells, share, pictures.vectors[ASKED], exact)
        assert recall(*found_in(pictures, enough, NeighbourConstraints())) >= share
        less = replace(enough, reach=enough.reach + 0.05)
        assert recall(*found_in(pictures, less, NeighbourConstraints())) < share
        probes.append(enough.probes)
    assert probes == sorted(probes) and probes[-1] <= len(cells.centres)


def test_it_matters_not_who_is_asked_for_at_once(
    pictures: ProductVectors, cells: InvertedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = NeighbourConstraints(fold_above=0.9)
    at_once, _ = found_in(pictures, cells, rules)
    monkeypatch.setattr(ivf, "PAIRS_AT_ONCE", 24 * 13)
    monkeypatch.setattr(ivf, "QUERIES_AT_ONCE", 5)
    monkeypatch.setattr(ivf, "TILE_SCORES", 150)
    np.testing.assert_array_equal(found_in(pictures, cells, rules)[0], at_once)


def test_who_is_not_listed_may_ask_and_a_cell_may_be_empty() -> None:
    listed = ProductVectors(np.float32([[1, 0], [0, 1]]), product_traits([None] * 2, [None] * 2, [None] * 2))
    centres = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    asked = ProductVectors(np.float32([[0.6, 0.8]]), product_traits([None], [None], [None]))
    for reach, expected in ((1, [NO_NEIGHBOUR, NO_NEIGHBOUR]), (0.25, [1, NO_NEIGHBOUR]), (0.05, [1, 0])):
        cells = InvertedFile(np.arange(2), np.array([0, 1, 1, 2]), centres, reach, 1)
        found, _ = nearest_allowed_in_cells(asked, np.array([NO_NEIGHBOUR]), listed, 3, NeighbourConstraints(), cells)
        assert found.tolist() == [expected]


def test_the_same_seed_files_alike(pictures: ProductVectors, cells: InvertedFile) -> None:
    again = build_inverted_file(pictures.vectors, 24, seed=1)
    assert (again.order == cells.order).all() and (again.centres == cells.centres).all()
    assert (again.reach, again.probes) == (cells.reach, cells.probes)


def test_recall_counts_what_is_there() -> None:
    exact = np.array([[1, 2], [3, NO_NEIGHBOUR]])
    assert recall(exact, exact) == 1
    assert recall(np.array([[2, 9], [NO_NEIGHBOUR, NO_NEIGHBOUR]]), exact) == pytest.approx(1 / 3)
    assert recall(np.full((1, 2), NO_NEIGHBOUR), np.full((1, 2), NO_NEIGHBOUR)) == 1
