"""How hours are named as folders, and folders that look as if they were meant to be hours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone

from larder.storage.filesystems import StoragePath, is_shown

LAYOUT = "dt=%Y-%m-%d/hr=%H"
CODES = ("%Y", "%m", "%d", "%H")
DIGITS = {"%Y": r"\d{4}", "%m": r"\d{2}", "%d": r"\d{2}", "%H": r"\d{2}"}
NAMED_FOLDERS = 5
READERS = 16


class LayoutError(LookupError):
    """The folder of events has other folders than events.layout says; the message names some."""


def partition_by(layout: str) -> Callable[[int], str]:
    """A function from an hour's number to its folder, such as `dt=2017-12-04/hr=00`."""

    def partition(hour: int) -> str:
        return datetime.fromtimestamp(hour * 3600, timezone.utc).strftime(layout)

    return partition


@dataclass(frozen=True)
class FoldersBeside:
    """Folders, relative to the folder of events, that are none of the layout's."""

    unknown: tuple[str, ...]
    has_known: bool  # whether one on the first level is as the layout says

    def meant(self, partition: str) -> str | None:
        """The unknown folder that has the numbers of `partition`, written differently; None if there is none."""
        levels = partition.split("/")
        for folder in self.unknown:
            names = folder.split("/")
            if _numbers(folder) == _numbers("/".join(levels[: len(names)])):
                return folder
        return None

    def named(self) -> str:
        """Some of the unknown folders, and how many there are more."""
        more = len(self.unknown) - NAMED_FOLDERS
        return ", ".join(self.unknown[:NAMED_FOLDERS]) + (f" and {more} more" if more > 0 else "")


def folders_beside(events: StoragePath, layout: str, hours: Iterable[int]) -> FoldersBeside:
    """Looks at the first level, and at the levels below on the way to the folders of `hours`."""
    levels = [_pattern(level) for level in layout.split("/")]
    first = [name for name in events.folders() if is_shown(name)]
    unknown = [name for name in first if not levels[0].fullmatch(name)]
    known = set(first) - set(unknown)
    partition_of = partition_by(layout)
    parents = sorted({parent for hour in hours for parent in _parents(partition_of(hour))})
    inside = [parent for parent in parents if parent.split("/")[0] in known]
    with ThreadPoolExecutor(READERS) as pool:
        for parent, names in zip(inside, pool.map(lambda each: (events / each).folders(), inside), strict=True):
            level = levels[parent.count("/") + 1]
            unknown += [f"{parent}/{name}" for name in names if is_shown(name) and not level.fullmatch(name)]
    return FoldersBeside(tuple(unknown), bool(known))


def likely_layout(events: StoragePath, depth: int = 6) -> str | None:
    """A layout that would name the first folders found below each other, None if they name no hour."""
    names: list[str] = []
    place = events
    while len(names) < depth:
        below = [name for name in place.folders() if is_shown(name)]
        if not below:
            break
        names.append(below[-1])
        place = place / below[-1]
    return layout_of("/".join(names))


def layout_of(path: str) -> str | None:
    """The layout in which `2026/11/20/07` or `date=20261120/hour=07` is an hour; None if it is none."""
    digits = re.sub(r"\D", "", path)
    if len(digits) != 10 or not 1970 <= int(digits[:4]) < 2100 or not 1 <= int(digits[4:6]) <= 12:
        return None
    codes, found, at = iter(CODES), "", 0
    while at < len(path):
        if path[at].isdigit():
            code = next(codes)
            size = 4 if code == "%Y" else 2
            if not path[at : at + size].isdigit() or len(path[at : at + size]) < size:
                return None
            found, at = found + code, at + size
        else:
            found, at = found + path[at].replace("%", "%%"), at + 1
    return found


def _parents(partition: str) -> list[str]:
    names = partition.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def _pattern(level: str) -> re.Pattern[str]:
    parts = re.split(f"({'|'.join(CODES)})", level)
    return re.compile("".join(DIGITS.get(part) or re.escape(part.replace("%%", "%")) for part in parts))


def _numbers(path: str) -> tuple[int, ...]:
    """The numbers in a path; a date written without separators counts as its year, month and day."""
    found: list[int] = []
    for digits in re.findall(r"\d+", path):
        if len(digits) in (8, 10):
            found += [int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, len(digits), 2))]
        else:
            found.append(int(digits))
    return tuple(found)
