"""Folders of events that are not named as hours are noticed, and a layout of other names can be set."""

from __future__ import annotations

from pathlib import Path

import pytest

from larder.storage import StoragePath
from larder.storage.event_layout import LAYOUT, folders_beside, layout_of, likely_layout, partition_by

HOUR = 420_072  # 2017-12-03T00


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("dt=2017-12-03/hr=00", LAYOUT),
        ("2026/11/20/07", "%Y/%m/%d/%H"),
        ("year=2026/month=11/day=20/hour=07", "year=%Y/month=%m/day=%d/hour=%H"),
        ("date=20261120/h07", "date=%Y%m%d/h%H"),
        ("2026-11-20-07", "%Y-%m-%d-%H"),
        ("dt=2017-12-03", None),
        ("dt=2017-12-03/hr=7", None),
        ("v2026/99/20/07", None),
        ("images/large", None),
        ("", None),
    ],
)
def test_a_path_tells_its_layout(path: str, layout: str | None) -> None:
    assert layout_of(path) == layout


@pytest.mark.parametrize("layout", [LAYOUT, "%Y/%m/%d/%H", "year=%Y/month=%m/day=%d/hour=%H", "%Y%m%d%H"])
def test_hours_are_named_by_the_layout(layout: str, tmp_path: Path) -> None:
    partition = partition_by(layout)(HOUR)
    (tmp_path / partition).mkdir(parents=True)
    assert layout_of(partition) == layout
    assert likely_layout(StoragePath(str(tmp_path))) == layout
    beside = folders_beside(StoragePath(str(tmp_path)), layout, [HOUR])
    assert (beside.unknown, beside.has_known) == ((), True)


@pytest.mark.parametrize("folder", ["dt=2017-12-03/hr=0", "dt=2017-12-03/hour=00", "dt=2017-12-3", "date=20171203"])
def test_a_folder_with_the_numbers_of_an_hour_is_meant_to_be_it(folder: str, tmp_path: Path) -> None:
    for name in (folder, "dt=2017-12-02/hr=00", "dt=2017-12-03/_temporary", "archive", "_SUCCESS"):
        (tmp_path / name).mkdir(parents=True)
    beside = folders_beside(StoragePath(str(tmp_path)), LAYOUT, [HOUR])
    assert set(beside.unknown) == {folder, "archive"}
    assert beside.meant("dt=2017-12-03/hr=00") == folder
    assert beside.meant("dt=2017-12-02/hr=00") is None
    assert "archive" in beside.named()


def test_what_is_not_there_has_no_folders(tmp_path: Path) -> None:
    nowhere = StoragePath(str(tmp_path / "nowhere"))
    beside = folders_beside(nowhere, LAYOUT, [HOUR])
    assert (beside.unknown, beside.has_known, likely_layout(nowhere)) == ((), False, None)
