"""The order that is chosen from measured windows, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from larder.jobs.evaluation.choice_summary import choice_summary
from larder.jobs.evaluation.measured_orders import MeasuredWindow, chosen_order
from larder.settings import EvaluationSettings, Settings

SETTINGS = Settings(evaluation=EvaluationSettings(bootstrap=0))
USERS = np.linspace(-0.01, 0.01, 100)


def window(repeats: bool = True, **figures: tuple[float, float]) -> MeasuredWindow:
    """A window with the mean NDCG@10 of each order on new and on all products."""
    return MeasuredWindow(
        {order: {"new": new + USERS, "all": every + USERS} for order, (new, every) in figures.items()}, repeats
    )


@pytest.mark.parametrize(("repeats", "by", "chosen"), [(True, "all", "learned"), (False, "new", "simple")])
def test_products_that_lists_hold_decide(repeats: bool, by: str, chosen: str) -> None:
    found, told = chosen_order([window(repeats, simple=(0.2, 0.3), learned=(0.1, 0.4))], SETTINGS)
    assert (found.chosen, told["by"]) == (chosen, by)


def test_where_only_some_windows_have_a_learned_order_only_these_count() -> None:
    newest, older = window(simple=(0, 0.1), learned=(0, 0.2)), window(simple=(0, 0.9))
    found, told = chosen_order([newest, older], SETTINGS)
    assert (found.chosen, told["measured_on"]) == ("learned", 1)
    assert told["ndcg"]["simple"]["all"]["ndcg@10"] == pytest.approx(0.1)


def test_without_any_weights_a_simple_order_is_chosen() -> None:
    found, told = chosen_order(
        [window(popular=(0, 0.1), blend=(0, 0.2)), window(popular=(0, 0.1), blend=(0, 0.2))], SETTINGS
    )
    assert (found.chosen, told["measured_on"], list(told["ndcg"])) == ("blend", 2, ["popular", "blend"])


def test_the_choice_is_told_as_a_table_with_its_reason() -> None:
    found, told = chosen_order([window(popular=(0.1, 0.2), learned=(0.2, 0.3))], SETTINGS)
    assert choice_summary(found.chosen, told).splitlines() == [
        "NDCG@10, mean of 1 windows",
        "  order    new products  all products",
        "  popular        0.1000        0.2000",
        "  learned        0.2000        0.3000  chosen",
        "Personal lists are in the order: learned. NDCG@10 on all products decides. This order has the highest, and no "
        "simpler one is within a standard error of it.",
    ]


def test_a_simpler_order_that_is_near_enough_is_told_with_the_distance() -> None:
    near = MeasuredWindow(
        {"simple": {"new": USERS, "all": USERS}, "learned": {"new": USERS[::-1] + 0.0005, "all": USERS}}, False
    )
    found, told = chosen_order([near], SETTINGS)
    assert choice_summary(found.chosen, told).splitlines()[-1] == (
        "Personal lists are in the order: simple. NDCG@10 on new products decides, because lists hold no others. The "
        "order learned has 0.0005 more, which is within the standard error of that difference, 0.0012; so the simplest "
        "order that is so near was taken."
    )
