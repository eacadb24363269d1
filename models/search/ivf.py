"""Neighbours among millions: vectors are filed in cells, and each query looks only into the cells nearest to it.

An inverted file (Jegou, Douze, Schmid 2011) without compression. A query looks into more cells the more of them lie
about as near as its nearest. Queries are dealt to the cells that they look into, so that a cell's scores are one matrix
product whoever asks, and all rules hold as they do for the exact search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from larder.models.encoding.hash_ranges import rows_by_range
from larder.models.search.constraints import ConstraintMask, NeighbourConstraints, ProductVectors, Rows, search_and_fold
from larder.models.search.exact import NO_NEIGHBOUR, Floats, Ints, exclude, nearest, unit_length
from larder.models.search.topk import TopKHeaps

# Finer cells find more among as many vectors looked at; filing twice as many takes four times as long.
CELLS = 2  # times the square root of the vectors
# Rounds of k-means, each on a sample of so many vectors a cell: the first are cheap, and the last must be large.
ROUNDS = ((16, 20), (64, 8), (256, 3))
# Vectors by which is told how many cells a query looks into.
SAMPLE = 500
# A cell is as near as its cosine is above this share of the nearest cell's. Of 0, 0.25, 0.5, 0.75 and 1 the best.
OF_NEAREST = np.float32(0.5)
# For what rounding may change.
SLACK = 1e-6
# Pairs of query and cell that are dealt at a time, in the mean, which bounds memory; and queries that meet all centres.
PAIRS_AT_ONCE, QUERIES_AT_ONCE = 1 << 20, 1 << 10
# Scores of a matrix product, so few that they stay in the cache.
TILE_SCORES = 1 << 17


@dataclass(frozen=True)
class InvertedFile:
    """order (n,): rows of the vectors that were filed, cell by cell. Cell i holds starts[i] to starts[i + 1] of them.

    centres (c, d) of length 1. A query looks into its nearest cell, and into each whose cosine is above OF_NEAREST of
    that one's by more than `reach`; `probes` cells, in the mean.
    """

    order: Rows
    starts: Rows
    centres: Floats
    reach: float
    probes: float


def build_inverted_file(vectors: Floats, probes: int, seed: int) -> InvertedFile:
    """Files vectors (n, d) of length 1 in `cells_for(n)` cells, by k-means on the sphere of samples.

    probes: how many cells vectors like these are to look into, in the mean.
    """
    count = cell_count(len(vectors))
    drawn = np.random.default_rng(seed).permutation(len(vectors))
    centres = vectors[drawn[:count]]
    for of_each, rounds in ROUNDS:
        some = vectors[np.sort(drawn[: count * of_each])]
        for _ in range(rounds):
            centres = _moved(centres, some)
    order, starts = _by_cell(vectors, centres)
    beyond = _beyond(vectors[drawn[:SAMPLE]], centres)
    few = max(0, beyond.size - probes * len(beyond))
    reach = float(np.partition(beyond, few, None)[few]) if few else -np.inf
    return _reaching(InvertedFile(order, starts, centres, reach, 0), reach, beyond)


def widened_to_recall(cells: InvertedFile, share: float, queries: Floats, exact: Ints) -> InvertedFile:
    """With as far a reach as finds such a share of the exact neighbours (m, k) of queries (m, d); no less than it is.

    exact: places in the order of the cells, each of which lies in a cell that is so or so near to the query.
    """
    beyond = _beyond(queries, cells.centres)
    of_cell = np.searchsorted(cells.starts, exact, side="right") - 1
    beyond_of = np.sort(np.take_along_axis(beyond, of_cell, 1)[exact != NO_NEIGHBOUR])[::-1]
    wanted = int(np.ceil(share * len(beyond_of)))
    return _reaching(cells, float(beyond_of[wanted - 1]) - SLACK, beyond) if wanted else cells


def cell_count(count: int) -> int:
    """How many cells so many vectors are filed in."""
    return min(count, round(CELLS * count**0.5))


def nearest_allowed_in_cells(
    asked: ProductVectors, own: Rows, listed: ProductVectors, top: int, rules: NeighbourConstraints, cells: InvertedFile
) -> tuple[Ints, Floats]:
    """As nearest_by_rules, but only of what lies in cells near to each query; `listed` in the order of the cells."""

    def search(rows: Rows, wanted: int) -> tuple[Ints, Floats]:
        return _search(asked.of(rows), own[rows], listed, min(wanted, len(listed.vectors)), rules, cells)

    return search_and_fold(search, asked, listed, top, rules, max(1, int(PAIRS_AT_ONCE / cells.probes)))


def _search(
    asked: ProductVectors,
    own: Rows,
    listed: ProductVectors,
    wanted: int,
    rules: NeighbourConstraints,
    cells: InvertedFile,
) -> tuple[Ints, Floats]:
    best = TopKHeaps.empty(len(own), wanted)
    forbid = ConstraintMask(asked.traits, listed.traits, rules)
    # The nearest cell of each query first: most of what comes after it is then worse than what the query has.
    for queries, probed in _pairs(asked.vectors, cells):
        order, starts = rows_by_range(probed, len(cells.centres))
        queries = queries[order]
        for cell in np.flatnonzero(np.diff(starts)).tolist():
            here = slice(int(cells.starts[cell]), int(cells.starts[cell + 1]))
            height = TILE_SCORES // max(1, here.stop - here.start) + 1
            for start in range(starts[cell], starts[cell + 1], height):
                rows = queries[start : min(start + height, starts[cell + 1])]
                tile = asked.vectors[rows] @ listed.vectors[here].T
                exclude(tile, own[rows] - here.start)
                forbid(rows, here, tile)
                best.push_tile(tile, rows, here.start)
    return best.lists()


def _pairs(queries: Floats, cells: InvertedFile) -> list[tuple[Ints, Ints]]:
    """Rows of queries and the cells that they look into: first their nearest ones, then the others."""
    rows = np.arange(len(queries), dtype=np.int32)
    firsts, askers, others = [], [], []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = rows[start : start + QUERIES_AT_ONCE]
        beyond = _beyond(queries[some], cells.centres)
        first = beyond.argmax(axis=1)
        beyond[some - start, first] = -np.inf
        asker, other = np.nonzero(beyond > cells.reach)
        firsts.append(first.astype(np.int32))
        askers.append(some[asker])
        others.append(other.astype(np.int32))
    return [(rows, np.concatenate(firsts)), (np.concatenate(askers), np.concatenate(others))]


def _beyond(queries: Floats, centres: Floats) -> Floats:
    """By how much the cosine of each query with each centre is above OF_NEAREST of its greatest, (m, c)."""
    cosines = queries @ centres.T
    cosines -= OF_NEAREST * cosines.max(axis=1, keepdims=True)
    return cosines


def _reaching(cells: InvertedFile, reach: float, beyond: Floats) -> InvertedFile:
    reach = min(reach, cells.reach)
    return replace(cells, reach=reach, probes=float(np.maximum((beyond > reach).sum(axis=1), 1).mean()))


def recall(found: Ints, exact: Ints) -> float:
    """The share of the exact neighbours (m, k) that were found (m, k); 1 where there are none."""
    wanted = int((exact != NO_NEIGHBOUR).sum())
    pairs = zip(found, exact, strict=True)
    return (
        sum(int((np.isin(other, one) & (other != NO_NEIGHBOUR)).sum()) for one, other in pairs) / wanted
        if wanted
        else 1.0
    )


def _moved(centres: Floats, vectors: Floats) -> Floats:
    """Each centre to the mean of the vectors nearest to it; one that has none stays."""
    order, starts = _by_cell(vectors, centres)
    filled = np.flatnonzero(np.diff(starts))
    moved = centres.copy()
    moved[filled] = unit_length(np.add.reduceat(vectors[order], starts[filled]))
    return moved


def _by_cell(vectors: Floats, centres: Floats) -> tuple[Rows, Rows]:
    """Rows of the vectors by their nearest centre, and where those of each begin."""
    return rows_by_range(nearest(vectors, centres, 1)[0][:, 0], len(centres))
