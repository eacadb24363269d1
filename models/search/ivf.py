"""Approximate nearest neighbours among millions by an inverted file (IVF): queries look into few cells of vectors.

An inverted file without compression (Jegou, Douze, Schmid, Product Quantization for Nearest Neighbor Search, PAMI
2011), with cells by spherical k-means. A query looks into more cells the more of them lie about as near as its nearest.
Queries are grouped by the cells that they look into, so that a cell's scores are one matrix product, and all
constraints hold as they do for the exact search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel
from larder.models.encoding.hash_ranges import rows_by_range
from larder.models.search.constraints import (
    ConstraintMask,
    NeighbourConstraints,
    ProductVectors,
    Rows,
    search_and_fold,
)
from larder.models.search.dot_product import dot_product, dot_products, most_rounding
from larder.models.search.exact import NO_NEIGHBOUR, Floats, Ints, exclude, length_of_longest, nearest, unit_length
from larder.models.search.topk import TopKProducts

# There are so many times the square root of the vectors as cells. Finer cells find more among as many vectors looked
# at; twice as many cells take four times as long to make.
CELLS = 2
# Rounds of k-means: (vectors a cell in the sample, rounds). The first are cheap, and the last sample must be large.
ROUNDS = ((16, 20), (64, 8), (256, 3))
# Vectors by which it is told how many cells a query looks into.
SAMPLE = 500
# A cell's rank is how far its cosine is above this share of the nearest cell's: the best of 0, 0.25, 0.5, 0.75 and 1.
OF_NEAREST = np.float32(0.5)
# For what rounding may change.
SLACK = 1e-6
# Pairs of query and cell made at a time, on average, which bounds memory; queries compared with all centres at once.
PAIRS_AT_ONCE, QUERIES_AT_ONCE = 1 << 20, 1 << 10
# Scores of one matrix product, so few that they stay in the cache.
TILE_SCORES = 1 << 17


@dataclass(frozen=True)
class InvertedFile:
    """Which cell each of n vectors lies in, and how queries choose cells.

    order (n,): rows of the vectors, cell by cell; cell i holds order[starts[i]:starts[i + 1]]. centres (c, d) of length
    1. A query looks into its nearest cell, and into each whose cosine is above OF_NEAREST times that one's by more than
    `reach`: `probes` cells, on average.
    """

    order: Rows
    starts: Rows
    centres: Floats
    reach: float
    probes: float


def build_inverted_file(vectors: Floats, probes: int, seed: int) -> InvertedFile:
    """Returns vectors (n, d) of length 1 in `cell_count(n)` cells, by k-means on the sphere, of samples.

    The reach is such that queries like these vectors look into `probes` cells, on average.
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
    """Returns the same cells with the smallest reach, though no smaller than now, whose recall is at least `share`.

    Recall is told on queries (m, d) by their exact neighbours (m, k), positions in the order of the cells.
    """
    beyond = _beyond(queries, cells.centres)
    of_cell = np.searchsorted(cells.starts, exact, side="right") - 1
    beyond_of = np.sort(np.take_along_axis(beyond, of_cell, 1)[exact != NO_NEIGHBOUR])[::-1]
    wanted = int(np.ceil(share * len(beyond_of)))
    return _reaching(cells, float(beyond_of[wanted - 1]) - SLACK, beyond) if wanted else cells


def cell_count(count: int) -> int:
    """Returns how many cells `count` vectors are put in."""
    return min(count, round(CELLS * count**0.5))


def nearest_allowed_in_cells(
    asked: ProductVectors,
    own: Rows,
    listed: ProductVectors,
    top: int,
    constraints: NeighbourConstraints,
    cells: InvertedFile,
) -> tuple[Ints, Floats]:
    """Returns what `nearest_allowed` returns, but only of what lies in cells near to each query.

    `listed` stands in the order of the cells. A query's row is the same to the bit whoever else is asked for.
    """

    def search(rows: Rows, wanted: int) -> tuple[Ints, Floats]:
        return _search(asked.of(rows), own[rows], listed, min(wanted, len(listed.vectors)), constraints, cells)

    return search_and_fold(search, asked, listed, top, constraints, max(1, int(PAIRS_AT_ONCE / cells.probes)))


def recall(found: Ints, exact: Ints) -> float:
    """Returns the share of the exact neighbours (m, k) that were found (m, k); 1 if there are none."""
    wanted = int((exact != NO_NEIGHBOUR).sum())
    pairs = zip(found, exact, strict=True)
    hits = sum(int((np.isin(other, one) & (other != NO_NEIGHBOUR)).sum()) for one, other in pairs)
    return hits / wanted if wanted else 1.0


def _search(
    asked: ProductVectors,
    own: Rows,
    listed: ProductVectors,
    wanted: int,
    constraints: NeighbourConstraints,
    cells: InvertedFile,
) -> tuple[Ints, Floats]:
    best = TopKProducts(asked.vectors, listed.vectors, wanted, listed.longest)
    mask = ConstraintMask(asked.traits, listed.traits, constraints)
    numbers = np.arange(len(listed.vectors), dtype=np.int32)
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
                mask(rows, here, tile)
                best.push(tile, rows, numbers[here])
    return best.sorted()


def _pairs(queries: Floats, cells: InvertedFile) -> list[tuple[Ints, Ints]]:
    """Returns rows of queries and the cells that they look into: first their nearest ones, then the others."""
    rows = np.arange(len(queries), dtype=np.int32)
    margins = most_rounding(queries, np.linalg.norm(queries, axis=1), length_of_longest(cells.centres))
    firsts, askers, others = [], [], []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
        cosines = queries[some] @ cells.centres.T
        first, probed = _probed(cosines, margins[some], queries[some], cells.centres, np.float32(cells.reach))
        asker, other = np.nonzero(probed)
        firsts.append(first)
        askers.append(rows[some][asker])
        others.append(other.astype(np.int32))
    return [(rows, np.concatenate(firsts)), (np.concatenate(askers), np.concatenate(others))]


@kernel
def _probed(
    cosines: Floats, margins: Floats, queries: Floats, centres: Floats, reach: np.float32
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Returns the nearest cell of each query (m,), and which others (m, c) it looks into.

    `cosines` (m, c), of a matrix product, are off by `margins` (m,) at most; where that matters, `dot_product` decides.
    """
    first, probed = np.zeros(len(queries), np.int32), np.zeros(cosines.shape, np.bool_)
    for row in range(len(queries)):
        query, margin = queries[row], margins[row]
        rough = np.float32(-np.inf)
        for cell in range(cosines.shape[1]):
            rough = max(rough, cosines[row, cell])
        greatest = np.float32(-np.inf)
        for cell in range(cosines.shape[1]):
            if cosines[row, cell] >= rough - np.float32(2) * margin:
                cosine = dot_product(query, centres[cell])
                if cosine > greatest:
                    greatest, first[row] = cosine, cell
        least = OF_NEAREST * greatest + reach
        for cell in range(cosines.shape[1]):
            cosine = cosines[row, cell]
            if abs(cosine - least) <= margin:
                cosine = dot_product(query, centres[cell])
            probed[row, cell] = cosine > least and cell != first[row]
    return first, probed


def _beyond(queries: Floats, centres: Floats) -> Floats:
    """Returns how far the cosine of each query with each centre is above OF_NEAREST times its greatest, (m, c)."""
    cosines = dot_products(queries, centres)
    cosines -= OF_NEAREST * cosines.max(axis=1, keepdims=True)
    return cosines


def _reaching(cells: InvertedFile, reach: float, beyond: Floats) -> InvertedFile:
    reach = min(reach, cells.reach)
    return replace(cells, reach=reach, probes=float(np.maximum((beyond > reach).sum(axis=1), 1).mean()))


def _moved(centres: Floats, vectors: Floats) -> Floats:
    """Returns each centre moved to the mean of the vectors nearest to it; one that has none stays."""
    order, starts = _by_cell(vectors, centres)
    filled = np.flatnonzero(np.diff(starts))
    moved = centres.copy()
    moved[filled] = unit_length(np.add.reduceat(vectors[order], starts[filled]))
    return moved


def _by_cell(vectors: Floats, centres: Floats) -> tuple[Rows, Rows]:
    """Returns rows of the vectors by their nearest centre, and where those of each begin."""
    return rows_by_range(nearest(vectors, centres, 1)[0][:, 0], len(centres))
