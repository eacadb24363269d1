"""The methods that an evaluation compares: baselines, ALS, personal lists as published, and a peer library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from larder.jobs.evaluation.evaluation_data import EvaluationData
from larder.jobs.evaluation.place_popularity import PlacePopularity
from larder.models.evaluation.ranking_metrics import RECALL_AT
from larder.models.interactions.purchase_history import UserItems
from larder.models.ranking.personal import top_items
from larder.models.ranking.rankers import ALWAYS, BlendRanker, ListRules, Ranker
from larder.models.search.topk import top_k_columns

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

NEW, ALL = "new", "all"
POPULARITY, ALS, PERSONAL = "popularity", "als", "personal"
OWN, OWN_DECAYED = "own frequency", "own frequency, decayed"
RECENT = "popularity, 28 days"
AT_PLACE = "popularity at the place"
WITHOUT = "personal, without weights"
KNN, IMPLICIT = "item-kNN, BM25 (implicit)", "ALS (implicit)"
# The best of 24 settings on the test weeks of the sample data: a choice in implicit's favour.
IMPLICIT_ALS = {"factors": 64, "regularization": 10.0, "alpha": 1.0, "iterations": 15, "random_state": 1}
NEIGHBOURS = 500
LEAST = -1e30  # the score of items that may not be listed


@dataclass(frozen=True)
class Method:
    """A method by name. `lists(task)` returns items (users, RECALL_AT), -1 for none, for each of its `tasks`."""

    name: str
    tasks: tuple[str, ...]
    lists: Callable[[str], Ints]


def methods_of(
    data: EvaluationData, ranker: Ranker, rules: ListRules, rebuy_weight: float, varied: Sequence[ListRules] = ()
) -> list[Method]:
    """Returns the baselines, personal lists as published, and personal lists by each of the rules `varied`.

    If `ranker` has learned weights, one baseline is the blend, by `rebuy_weight`, that is published without weights.
    """
    one = np.ones((len(data.factors), 1), np.float32)
    buyers, month = data.statistics.buyers[:, None], data.statistics.month[:, None]
    recent = data.history.bought
    nothing = np.zeros_like(buyers)
    is_blend = isinstance(ranker, BlendRanker)
    personal = [personal_method(PERSONAL, data, ranker, rules)]
    personal += [personal_method(f"{PERSONAL}, diversity {some.penalty:g}", data, ranker, some) for some in varied]
    return [
        Method(POPULARITY, (NEW, ALL), _by_product(one, buyers, recent, 0.0)),
        Method(RECENT, (NEW, ALL), _by_product(one, month, recent, 0.0)),
        *([Method(AT_PLACE, (NEW, ALL), _at_place(data.places, recent))] if data.places else []),
        Method(ALS, (NEW, ALL), _by_product(data.factors, data.item_factors, recent, 0.0)),
        Method(OWN, (ALL,), _by_product(one, nothing, data.purchase_counts, 1.0)),
        Method(OWN_DECAYED, (ALL,), _by_product(one, nothing, recent, 1.0)),
        *([personal_method(WITHOUT, data, BlendRanker(rebuy_weight), rules)] if not is_blend else []),
        *personal,
    ]


def _by_product(users: Floats, items: Floats, owned: UserItems, rebuy_weight: float) -> Callable[[str], Ints]:
    return lambda task: top_items(users, items, owned, RECALL_AT, None if task == NEW else rebuy_weight)[0]


def _at_place(places: PlacePopularity, owned: UserItems) -> Callable[[str], Ints]:
    return lambda task: places.lists(RECALL_AT, owned if task == NEW else None)


def personal_method(name: str, data: EvaluationData, ranker: Ranker, rules: ListRules) -> Method:
    """Returns the method of personal lists as they would be published by this ranker and these rules."""
    order = ranker.bound_to(data.best)

    def lists(task: str) -> Ints:
        asked = replace(rules, n=RECALL_AT, masked_days=ALWAYS if task == NEW else rules.masked_days)
        return order.lists(data.factors, data.history, asked)[0]

    return Method(name, (NEW, ALL), lists)


def has_peers() -> bool:
    """Returns whether implicit is installed, which `peers_of` needs."""
    return find_spec("implicit") is not None


def peers_of(data: EvaluationData) -> Iterator[Method]:
    """Yields methods of implicit, well configured, fitted to the undecayed purchase counts of the measured users."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    bought = data.purchase_counts
    shape = (len(data.factors), len(data.item_factors))
    counts = csr_matrix((bought.strengths, bought.items, bought.offsets), shape=shape, copy=True)
    neighbours = BM25Recommender(K=NEIGHBOURS, K1=1.2, B=0.75)
    with threadpool_limits(1, "blas"):
        neighbours.fit(counts, show_progress=False)

        def by_neighbours(start: int, end: int) -> Floats:
            return np.asarray((counts[start:end] @ neighbours.similarity).todense(), np.float32)

        yield Method(KNN, (NEW, ALL), _by_scores(by_neighbours, bought))
        als = AlternatingLeastSquares(**IMPLICIT_ALS)
        als.fit(counts, show_progress=False)
    yield Method(IMPLICIT, (NEW, ALL), _by_product(als.user_factors, als.item_factors, bought, 0.0))


def _by_scores(scores_of: Callable[[int, int], Floats], owned: UserItems, rows: int = 256) -> Callable[[str], Ints]:
    """Returns lists by dense scores; `scores_of(start, end)` gives those of users start to end, shape (m, items)."""

    def lists(task: str) -> Ints:
        users, found = len(owned.offsets) - 1, []
        for start in range(0, users, rows):
            end = min(start + rows, users)
            scores, part = scores_of(start, end), owned.rows(start, end)
            if task == NEW:
                scores[part.users, part.items] = LEAST
            best, values = top_k_columns(scores, min(RECALL_AT, scores.shape[1]))
            found.append(np.where(values > LEAST, best, -1).astype(np.int32))
        return np.concatenate(found)

    return lists
