"""The figures of several windows as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Any

from larder.jobs.evaluation.evaluation_methods import PERSONAL
from larder.jobs.evaluation.evaluation_summary import NDCG, TITLES
from larder.models.evaluation.windows import compared

Rows = Sequence[Mapping[str, Any]]


def by_window(found: Sequence[tuple[str, Rows]]) -> Iterator[str]:
    """Yields a table a task: a row a method, its NDCG@10 by window and in the mean, and how personal lists compare."""
    for task, title in TITLES.items():
        figures = {
            row["method"]: [each[NDCG] for _, rows in found for each in rows if _is(each, task, row["method"])]
            for row in found[0][1]
            if row["task"] == task
        }
        figures = {method: values for method, values in figures.items() if len(values) == len(found)}
        if not figures:
            continue
        width = max(map(len, figures))
        heads = "".join(f"{name[5:10]:>8}" for name, _ in found)
        yield ""
        yield f"{title}: NDCG@10 by window"
        yield f"  {'method':<{width}}{heads}    mean  personal beside it"
        for method, values in figures.items():
            cells = "".join(f"{value:8.4f}" for value in (*values, sum(values) / len(values)))
            yield f"  {method:<{width}}{cells}{_beside(figures.get(PERSONAL), method, values)}"


def _is(row: Mapping[str, Any], task: str, method: str) -> bool:
    return bool(row["task"] == task and row["method"] == method)


def _beside(personal: Sequence[float] | None, method: str, values: Sequence[float]) -> str:
    if personal is None or method == PERSONAL:
        return ""
    told = compared(personal, values)
    bounds = f" [{told.low:+.4f}, {told.high:+.4f}]" if len(values) > 1 else ""
    share = "" if isnan(told.share) else f" {told.share:+.1%}"  # there is none of nothing
    return f"  {told.difference:+.4f}{bounds}{share}, above on {told.above} of {len(values)}"
