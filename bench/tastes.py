"""Makes interactions of any number of users with known tastes, as Parquet, and withholds some: for the ALS and top-N
benches.

They are skewed: few users have many interactions, and few products have most of them. A user likes three of 50 kinds of
products; three in ten interactions are with any product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from larder.models import columns as C
from larder.models.evaluation.ranking_metrics import RECALL_AT, GroundTruth, list_metrics
from larder.models.interactions.decay import UNIT
from larder.models.search.mips import InnerProductIndex

KINDS, LIKED = 50, 3
ROWS_A_FILE = 1_300_000  # as roll_up.ranges should give: a file has a few million rows
TEST_USERS, LEAST_SEEN, WITHHELD = 5_000, 10, 5  # users measured; products they must have seen; one in 5 is withheld
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tastes:
    """Interactions for training, by user and item: users (k,), items (k,), strengths (k,); and those withheld."""

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    strengths: npt.NDArray[np.int64]
    withheld_users: npt.NDArray[np.int32]
    withheld_items: npt.NDArray[np.int32]
    n_users: int
    n_items: int

    def ndcg(self, user_factors: Floats, item_factors: Floats) -> float:
        """Returns NDCG@10 of the withheld interactions among products not seen in training, from factors of all users
        and items."""
        some = np.unique(self.withheld_users)
        offsets = np.searchsorted(self.users, np.arange(self.n_users + 1))
        lengths = np.diff(offsets)[some]
        owned = np.concatenate([self.items[offsets[user] : offsets[user + 1]] for user in some])
        own_offsets = np.concatenate(([0], np.cumsum(lengths)))
        lists, _ = InnerProductIndex(item_factors).search(user_factors[some], own_offsets, owned, None, RECALL_AT)
        rows = np.searchsorted(some, self.withheld_users)
        truth = GroundTruth(rows, self.withheld_items, len(some), self.n_items)
        return float(list_metrics(lists, truth).ndcg.mean())


def tastes(interactions: int, users: int, items: int, seed: int = 0) -> Tastes:
    """Returns about as many interactions as asked for; a few fewer, because repeated pairs are one interaction."""
    draw = np.random.default_rng(seed)
    user = (users * draw.random(interactions) ** 1.5).astype(np.int64)
    liked = draw.integers(0, KINDS, (users, LIKED))
    kind = liked[user, (LIKED * draw.random(interactions) ** 1.5).astype(np.int64)]
    of_kind = items // KINDS
    of_taste = kind * of_kind + (of_kind * draw.random(interactions) ** 3).astype(np.int64)
    anything = (items * draw.random(interactions) ** 3).astype(np.int64) * 7919 % items
    item = np.where(draw.random(interactions) < 0.7, of_taste, anything)
    pairs, where = np.unique(user * items + item, return_inverse=True)
    strengths = np.bincount(where, 1 + draw.poisson(1.0, interactions)).astype(np.int64)
    user, item = (pairs // items).astype(np.int32), (pairs % items).astype(np.int32)
    seen = np.bincount(user, minlength=users)
    tested = draw.permutation(np.flatnonzero(seen >= LEAST_SEEN))[:TEST_USERS]
    withheld = np.isin(user, tested) & (draw.random(len(pairs)) < 1 / WITHHELD)
    return Tastes(user[~withheld], item[~withheld], strengths[~withheld], user[withheld], item[withheld], users, items)


def product_ids(items: npt.NDArray[np.integer]) -> pa.Array:
    return pa.array(np.char.add("p", np.char.zfill(items.astype("U7"), 7)))


def write_interactions(folder: Path, made: Tastes) -> list[str]:
    """Writes the training part as files of the table of interactions; returns their paths."""
    folder.mkdir(parents=True)
    paths = []
    files = max(1, round(len(made.users) / ROWS_A_FILE))
    edges = np.searchsorted(made.users, np.linspace(0, made.n_users, files + 1))
    names = product_ids(np.arange(made.n_items))
    for number, (start, end) in enumerate(pairwise(edges)):
        products = pa.DictionaryArray.from_arrays(pa.array(made.items[start:end]), names)
        table = pa.table(
            {
                C.COOKIE_KEY: made.users[start:end].astype(np.int64),
                C.PRODUCT_ID: products.cast(pa.string()),
                C.STRENGTH: made.strengths[start:end] * UNIT,
            }
        )
        paths.append(str(folder / f"part-{number:05d}.parquet"))
        pq.write_table(table, paths[-1], compression="zstd")
    return paths
