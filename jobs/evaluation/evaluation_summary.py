"""The figures of an evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.jobs.evaluation.evaluation_methods import ALL, NEW

TITLES = {NEW: "new products (never bought before by the user)", ALL: "all products"}
NDCG = "ndcg@10"
METRICS = (NDCG, "recall@30", "hit@10", "coverage@30")


def summary(results: Mapping[str, Any]) -> str:
    """Returns a table a task, a row a method: NDCG@10 with its interval, and the other metrics.

    Below it, how often the nearest pictures of a product are of its own category, by kind of vector.
    """
    lines = []
    for task, title in TITLES.items():
        rows = [row for row in results["lists"] if row["task"] == task]
        if not rows:
            continue
        width = max(len("method"), *(len(row["method"]) for row in rows))
        users = f"{rows[0]['users']:,} users"
        heads = f"{'ndcg@10':>8} {'95% interval':<17}" + "".join(f"{name:>12}" for name in METRICS[1:])
        lines += ["", f"{title}, {users}", f"  {'method':<{width}} {heads}"]
        lines += [f"  {row['method']:<{width}} {_cells(row)}" for row in rows]
    pictures = results.get("embeddings") or {}
    if pictures:
        width = max(map(len, pictures))
        lines += ["", "pictures: share of the ten nearest with the same category"]
        lines += [f"  {name:<{width}} {row['precision']:8.3f} of {row['queries']:,}" for name, row in pictures.items()]
    return "\n".join(lines[1:])


def _cells(row: Mapping[str, Any]) -> str:
    bounds = row.get("ndcg@10 interval")
    interval = f"[{bounds[0]:.4f}, {bounds[1]:.4f}]" if bounds else ""
    return f"{row['ndcg@10']:8.4f} {interval:<17}" + "".join(f"{row[name]:12.4f}" for name in METRICS[1:])
