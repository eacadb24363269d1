"""Divides work into Spark tasks of about equal size."""

from __future__ import annotations

from typing import TypeVar

MOST_TOGETHER = 256  # items a task: opening a small file takes time too
Item = TypeVar("Item")


def together(items: list[Item], rows: list[int], most: int) -> list[list[Item]]:
    """Returns groups of neighbouring items with about `most` rows each."""
    groups: list[list[Item]] = []
    waiting = 0
    for item, size in zip(items, rows, strict=True):
        if not groups or waiting + size > most or len(groups[-1]) >= MOST_TOGETHER:
            groups.append([])
            waiting = 0
        groups[-1].append(item)
        waiting += size
    return groups
