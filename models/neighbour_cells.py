"""Neighbours among millions: vectors are filed in cells, and each query looks only into the cells nearest to it.

An inverted file (Jegou, Douze, Schmid 2011) without compression. Queries are dealt to the cells that they look into, so
that a cell's scores are one matrix product whoever asks, and all rules hold as they do for the exact search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.neighbour_rules import Forbidden, Pictures, Rows, Rules, by_rules
from models.neighbours import NOBODY, Floats, Ints, exclude, nearest, unit_length
from models.ranges import rows_by_range
from models.top_heaps import Heaps

# Finer cells find more among as many vectors looked at; of twice as many again, filing would take as long as asking.
CELLS = 2  # times the square root of the vectors
# Rounds of k-means, each on a sample of so many vectors a cell: the first are cheap, and the last must be large.
ROUNDS = ((16, 20), (64, 8), (256, 3))
# Pairs of query and cell that are dealt at a time, which bounds memory.
PAIRS_AT_ONCE = 1 << 20
# Scores of a matrix product, so few that they stay in the cache.
TILE_SCORES = 1 << 17


@dataclass(frozen=True)
class Cells:
    """order (n,): rows of the vectors that were filed, cell by cell. Cell i holds starts[i] to starts[i + 1] of them.

    centres (c, d) of length 1.
    """

    order: Rows
    starts: Rows
    centres: Floats


def filed(vectors: Floats, seed: int) -> Cells:
    """Files vectors (n, d) of length 1 in `cells_for(n)` cells, by k-means on the sphere of samples."""
    count = cells_for(len(vectors))
    drawn = np.random.default_rng(seed).permutation(len(vectors))
    centres = vectors[drawn[:count]]
    for of_each, rounds in ROUNDS:
        some = vectors[np.sort(drawn[: count * of_each])]
        for _ in range(rounds):
            centres = _moved(centres, some)
    order, starts = _by_cell(vectors, centres)
    return Cells(order, starts, centres)


def cells_for(count: int) -> int:
    """How many cells so many vectors are filed in."""
    return min(count, round(CELLS * count**0.5))


def nearest_in_cells(
    asked: Pictures, own: Rows, listed: Pictures, top: int, rules: Rules, cells: Cells, probes: int
) -> tuple[Ints, Floats]:
    """As nearest_by_rules, but only of what lies in the `probes` cells nearest to each query; `listed` in the order of
    the cells."""

    def search(rows: Rows, wanted: int) -> tuple[Ints, Floats]:
        return _search(asked.of(rows), own[rows], listed, min(wanted, len(listed.vectors)), rules, cells, probes)

    return by_rules(search, asked, listed, top, rules, max(1, PAIRS_AT_ONCE // probes))


def _search(
    asked: Pictures, own: Rows, listed: Pictures, wanted: int, rules: Rules, cells: Cells, probes: int
) -> tuple[Ints, Floats]:
    best = Heaps.empty(len(own), wanted)
    forbid = Forbidden(asked.traits, listed.traits, rules)
    probed, _ = nearest(asked.vectors, cells.centres, probes)
    # The nearest cell of each query first: most of what comes after it is then worse than what the query has.
    for some in (probed[:, :1], probed[:, 1:]):
        pairs, starts = rows_by_range(some.reshape(-1), len(cells.centres))
        queries = np.repeat(np.arange(len(own), dtype=np.int32), some.shape[1])[pairs]
        for cell in range(len(cells.centres)):
            here = slice(cells.starts[cell], cells.starts[cell + 1])
            height = TILE_SCORES // max(1, here.stop - here.start) + 1
            for start in range(starts[cell], starts[cell + 1], height):
                rows = queries[start : min(start + height, starts[cell + 1])]
                tile = asked.vectors[rows] @ listed.vectors[here].T
                exclude(tile, own[rows] - here.start)
                forbid(rows, here, tile)
                best.offer(tile, rows, int(here.start))
    return best.lists()


def probes_for(share: float, queries: Floats, exact: Ints, cells: Cells) -> int:
    """The fewest probes that find such a share of the exact neighbours (m, k) of queries (m, d), places in the order of
    the cells: each lies in one of the cells, which is the query's nearest, or its second, and so on."""
    nearness = np.argsort(np.argsort(-(queries @ cells.centres.T), axis=1, kind="stable"), axis=1)
    of_cell = np.searchsorted(cells.starts, exact, side="right") - 1
    ranks = np.sort(np.take_along_axis(nearness, of_cell, 1)[exact != NOBODY])
    wanted = int(np.ceil(share * len(ranks)))
    return int(ranks[wanted - 1]) + 1 if wanted else 1


def recall(found: Ints, exact: Ints) -> float:
    """The share of the exact neighbours (m, k) that were found (m, k); 1 where there are none."""
    wanted = int((exact != NOBODY).sum())
    pairs = zip(found, exact, strict=True)
    return sum(int((np.isin(other, one) & (other != NOBODY)).sum()) for one, other in pairs) / wanted if wanted else 1.0


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
