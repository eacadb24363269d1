"""The figures of an evaluation as `larder evaluate` prints them."""

from __future__ import annotations

from typing import Any

from larder.jobs.evaluation.evaluation_summary import summary


def row(task: str, method: str, ndcg: float, **more: Any) -> dict[str, Any]:
    return {
        "task": task,
        "method": method,
        "ndcg@10": ndcg,
        "recall@30": 0.2,
        "hit@10": 0.3,
        "coverage@30": 0.4,
        **more,
    }


RESULTS = {
    "lists": [
        row("new", "popularity", 0.0378, users=1500),
        row("new", "als", 0.0451, users=1500, **{"ndcg@10 interval": [0.04, 0.05]}),
        row("all", "als", 0.4, users=2000),
    ]
}


def test_each_task_has_its_methods() -> None:
    assert summary(RESULTS).splitlines() == [
        "new products (never bought before by the user), 1,500 users",
        "  method      ndcg@10 95% interval        recall@30      hit@10 coverage@30",
        "  popularity   0.0378                        0.2000      0.3000      0.4000",
        "  als          0.0451 [0.0400, 0.0500]       0.2000      0.3000      0.4000",
        "",
        "all products, 2,000 users",
        "  method  ndcg@10 95% interval        recall@30      hit@10 coverage@30",
        "  als      0.4000                        0.2000      0.3000      0.4000",
    ]
