"""Removes costs that PySpark puts between two tasks of a Python worker."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar
from zipimport import zipimporter

P = ParamSpec("P")
T = TypeVar("T")


def leaves_worker_ready(task: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Returns the same task function, after which the worker starts its next task 0.2 s sooner.

    Before each task PySpark invalidates the import caches, and Python 3.11 then reads the directory of pyspark.zip
    again for each package in it. After each task it collects garbage among all objects, and Arrow and numba have
    160,000 of them. So this drops the cached zip importers, and freezes the objects that are alive.
    """

    @functools.wraps(task)
    def run(*args: P.args, **named: P.kwargs) -> Iterator[T]:
        yield from task(*args, **named)
        gc.collect()  # else garbage would be frozen too
        gc.freeze()
        for path, finder in list(sys.path_importer_cache.items()):
            if isinstance(finder, zipimporter):
                del sys.path_importer_cache[path]  # only a cache: an import makes it anew

    return run
