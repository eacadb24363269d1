"""A worker between tasks: nothing is held that was garbage, and imports still work."""

from __future__ import annotations

import gc
import importlib
import sys
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zipimport import zipimporter

import pytest

from larder.jobs.runtime.python_workers import leaves_worker_ready


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@leaves_worker_ready
def doubled(numbers: list[int]) -> Iterator[int]:
    """Twice each."""
    yield from (2 * number for number in numbers)


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_task_gives_what_it_gave() -> None:
    assert list(doubled([1, 2])) == [2, 4]
    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Twice each.")


def test_what_outlives_the_task_is_no_longer_collected_and_garbage_is_not_kept() -> None:
    kept, gone = Cycle(), weakref.ref(Cycle())
    list(doubled([]))
    assert gc.get_freeze_count() > 0
    assert gone() is None
    assert kept not in gc.get_objects()


def test_modules_of_an_archive_can_still_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("packed_one.py", "number = 1")
        written.writestr("packed_two.py", "number = 2")
    monkeypatch.syspath_prepend(archive)
    assert importlib.import_module("packed_one").number == 1
    list(doubled([]))
    assert not any(isinstance(finder, zipimporter) for finder in sys.path_importer_cache.values())
    assert importlib.import_module("packed_two").number == 2
