"""Which order of personal lists was chosen, and why, as text for a terminal and for the evaluation's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.jobs.evaluation.evaluation_methods import ALL, NEW
from larder.jobs.evaluation.evaluation_summary import NDCG


def choice_summary(chosen: str, tuned: Mapping[str, Any]) -> str:
    """Returns a row an order, from simple to rich, and sentences that say why one was chosen.

    `tuned` is what the file of weights says of its windows (larder.jobs.tune_lists).
    """
    width = max(map(len, tuned["ndcg"]))
    lines = [f"NDCG@10, mean of {tuned['measured_on']} windows", f"  {'order':<{width}}  new products  all products"]
    for order, row in tuned["ndcg"].items():
        mark = "  chosen" if order == chosen else ""
        lines.append(f"  {order:<{width}}  {row[NEW][NDCG]:12.4f}  {row[ALL][NDCG]:12.4f}{mark}")
    return "\n".join([*lines, choice_reason(chosen, tuned)])


def choice_reason(chosen: str, tuned: Mapping[str, Any]) -> str:
    """Returns sentences that say which order was chosen, by which figure, and how it compares with the best order."""
    on = "all products decides" if tuned["by"] == ALL else "new products decides, because lists hold no others"
    told = f"Personal lists are in the order: {chosen}. NDCG@10 on {on}."
    if chosen == tuned["best"]:
        return f"{told} This order has the highest, and no simpler one is within a standard error of it."
    return (
        f"{told} The order {tuned['best']} has {tuned['behind']:.4f} more, which is within the standard error of that "
        f"difference, {tuned['error']:.4f}; so the simplest order that is so near was taken."
    )
