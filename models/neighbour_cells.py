"""Neighbours among millions: vectors are filed in cells, and a query looks only into the cells about its own.

An inverted file (Jegou, Douze, Schmid 2011) without compression. Queries of one cell look into the same cells, so that
their scores are one matrix product, and all rules hold as they do for the exact search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.neighbour_rules import Pictures, Rules, Traits, nearest_by_rules
from models.neighbours import NOBODY, Floats, Ints, nearest, unit_length

ROUNDS = 6
SAMPLE_A_CELL = 64


@dataclass(frozen=True)
class Cells:
    """order (n,): rows of the vectors that were filed, cell by cell. Cell i holds starts[i] to starts[i + 1] of them.

    centres (c, d) of length 1; near (c, probes): the cells about each cell, itself first.
    """

    order: npt.NDArray[np.integer]
    starts: npt.NDArray[np.integer]
    centres: Floats
    near: Ints


def filed(vectors: Floats, probes: int, seed: int) -> Cells:
    """Files vectors (n, d) of length 1 in about as many cells as a cell holds, by k-means on the sphere of a sample."""
    count = max(1, round(len(vectors) ** 0.5))
    random = np.random.default_rng(seed)
    some = vectors[np.sort(random.permutation(len(vectors))[: count * SAMPLE_A_CELL])]
    centres = some[np.sort(random.permutation(len(some))[:count])]
    for _ in range(ROUNDS):
        of_cell = _cells_of(some, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, of_cell, some)
        empty = np.bincount(of_cell, minlength=count) == 0
        centres = np.where(empty[:, None], centres, unit_length(sums))
    of_cell = _cells_of(vectors, centres)
    starts = np.concatenate(([0], np.cumsum(np.bincount(of_cell, minlength=count))))
    near, _ = nearest(centres, centres, min(probes, count))
    # A cell is nearest to itself, but for one that is as another.
    near[:, 0] = np.where((near == np.arange(count)[:, None]).any(axis=1), near[:, 0], np.arange(count))
    return Cells(np.argsort(of_cell, kind="stable"), starts, centres, near)


def nearest_in_cells(
    asked: Pictures, own: npt.NDArray[np.integer], listed: Pictures, top: int, rules: Rules, cells: Cells
) -> tuple[Ints, Floats]:
    """As nearest_by_rules, but for what lies in cells farther away; `listed` in the order of the cells."""
    kept = min(top, len(listed.vectors))
    indices = np.full((len(own), kept), NOBODY, np.int32)
    scores = np.full((len(own), kept), -np.inf, np.float32)
    of_cell = _cells_of(asked.vectors, cells.centres)
    for cell in np.unique(of_cell).tolist():
        rows = np.flatnonzero(of_cell == cell)
        spans = [(cells.starts[each], cells.starts[each + 1]) for each in np.sort(cells.near[cell]).tolist()]
        members = np.concatenate([np.arange(*span) for span in spans])
        if not len(members):
            continue
        at = np.minimum(np.searchsorted(members, own[rows]), len(members) - 1)
        here = np.where(members[at] == own[rows], at, NOBODY)
        found, near = nearest_by_rules(asked.of(rows), here, _of_spans(listed, spans), top, rules)
        indices[rows, : found.shape[1]] = np.where(found == NOBODY, NOBODY, members[found])
        scores[rows, : found.shape[1]] = near
    return indices, scores


def recall(found: Ints, exact: Ints) -> float:
    """The share of the exact neighbours (m, k) that were found (m, k); 1 where there are none."""
    wanted = int((exact != NOBODY).sum())
    pairs = zip(found, exact, strict=True)
    return sum(int((np.isin(other, one) & (other != NOBODY)).sum()) for one, other in pairs) / wanted if wanted else 1.0


def _cells_of(vectors: Floats, centres: Floats) -> npt.NDArray[np.integer]:
    return nearest(vectors, centres, 1)[0][:, 0]


def _of_spans(pictures: Pictures, spans: list[tuple[int, int]]) -> Pictures:
    """Rows that lie together are copied far quicker than those that are picked."""

    def joined(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([values[start:end] for start, end in spans])

    traits = pictures.traits
    return Pictures(
        joined(pictures.vectors), Traits(joined(traits.departments), joined(traits.prices), joined(traits.products))
    )
