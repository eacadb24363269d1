"""Which order of personal lists was chosen, and why, as text for a terminal and for the evaluation's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.jobs.evaluation.evaluation_methods import ALL, NEW

NDCG = "ndcg@10"


def choice_summary(chosen: str, tuned: Mapping[str, Any]) -> str:
    """Returns a row an order, from simple to rich, and a sentence on the choice.

    `tuned` is what the file of weights says of its windows (larder.jobs.tune_lists).
    """
    width = max(map(len, tuned["ndcg"]))
    lines = [f"NDCG@10, mean of {tuned['measured_on']} windows", f"  {'order':<{width}}  new products  all products"]
    for order, row in tuned["ndcg"].items():
        mark = "  chosen" if order == chosen else ""
        lines.append(f"  {order:<{width}}  {row[NEW][NDCG]:12.4f}  {row[ALL][NDCG]:12.4f}{mark}")
    return "\n".join([*lines, choice_reason(chosen, tuned)])


def choice_reason(chosen: str, tuned: Mapping[str, Any]) -> str:
    """Returns one or two sentences: what decided, and how far the chosen order is from the best."""
    which = "all products, as lists hold what was bought before" if tuned["by"] == ALL else "new products"
    told = f"Lists are ordered by: {chosen}. NDCG@10 of {which}, decides"
    if tuned["by"] == NEW:
        told = f"Lists are ordered by: {chosen}. NDCG@10 of {which} decides, as little is bought twice"
    if chosen == tuned["best"]:
        return f"{told}; none has more, and no simpler one is within a standard error of it."
    return (
        f"{told}; {tuned['best']} has {tuned['behind']:.4f} more, which is within its standard error of "
        f"{tuned['error']:.4f}, so the simplest that is so near was taken."
    )
