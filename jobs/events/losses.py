"""What would be lost in silence: hours whose folders have other names, columns that are nowhere, rows that go to
quarantine by the thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from larder.jobs.events.hour_tasks import FoundColumns
from larder.jobs.runtime.notices import tell
from larder.models.events.validation import READ
from larder.models.hours import as_text
from larder.settings import EventsSettings
from larder.storage import Manifest, StoragePath
from larder.storage.event_folders import EventHour
from larder.storage.event_layout import LayoutError, folders_beside, likely_layout, partition_by

FEW_ROWS = 10  # quarantined rows of an hour that say little about its share
NAMED_FILES = 3


class QuarantinedHourError(RuntimeError):
    """Most rows of an hour, or all, are in quarantine, or its folder holds none; the message says what to do."""


def check_folders(events: StoragePath, layout: str, hours: Sequence[EventHour]) -> None:
    """Tells of folders that are no hours by `layout`. Raises LayoutError if an hour may be one of them."""
    beside = folders_beside(events, layout, [hour.hour for hour in hours])
    absent = [hour.hour for hour in hours if not hour.has_folder]
    if beside.unknown:
        tell(f"not read, since events.layout is {layout}: {beside.named()} below {events.uri}")
    if absent and not beside.has_known and (beside.unknown or events.files()):
        likely = likely_layout(events)
        remedy = f"set events.layout to {likely}" if likely else "name folders as events.layout says, or set it"
        found = beside.named() or "files, but no folder of an hour"
        raise LayoutError(f"{events.uri} (storage.events) has no folders like {layout}, but {found}; {remedy}")
    for hour in absent:
        partition = partition_by(layout)(hour)
        meant = beside.meant(partition)
        if meant:
            raise LayoutError(
                f"{events.uri} (storage.events) has no folder {partition}, but {meant}; rename that folder, or set "
                f"events.layout"
            )


def losses(hours: Sequence[EventHour], counts: Sequence[Manifest], rules: EventsSettings) -> dict[str, str]:
    """Of each hour that lost too much: its partition, and what to tell. `counts`: the manifests of the same hours."""
    lost = {}
    for hour, manifest in zip(hours, counts, strict=True):
        told = _loss(hour, manifest.counts, rules)
        if told:
            lost[manifest.partition] = f"{partition_by(rules.layout)(hour.hour)}: {told}"
    return lost


def _loss(hour: EventHour, counts: Mapping[str, int], rules: EventsSettings) -> str | None:
    rows, quarantined = counts["rows_in"], counts["quarantined"]
    says_something = quarantined >= FEW_ROWS or quarantined == rows
    if says_something and quarantined > rules.max_quarantined_share * rows:
        window = f"--start {as_text(hour.hour)} --end {as_text(hour.hour + 1)}"
        return (
            f"{quarantined:,} of {rows:,} rows are in quarantine, more than events.max_quarantined_share "
            f"({rules.max_quarantined_share:g}) allows, so the hour is not counted; "
            f"`larder quarantine {window}` says why"
        )
    says_nothing = any(not file.error and file.row_groups is not None for file in hour.files)
    if hour.has_folder and not rows and not says_nothing and rules.empty_hours == "refuse":
        return (
            f"its folder holds no rows ({len(hour.files)} files, {len(hour.broken)} of which can't be read), so the "
            f"hour is not counted; put it right, or set events.empty_hours to accept"
        )
    return None


def told_of_columns(found: Sequence[FoundColumns], mapped: Mapping[str, str]) -> dict[str, str]:
    """Tells of mapped columns that no file has, and of columns that differ from known ones by letter case alone.

    Returns the same for a report, by name; empty if there are none.
    """
    if not found:
        return {}
    told = {}
    seen = {name for item in found for name in item.seen}
    nowhere = [f"{name} ({column})" for column, name in sorted(mapped.items()) if name not in seen and column in READ]
    if nowhere:
        told["columns_nowhere"] = ", ".join(nowhere)
        tell(f"no file has {', '.join(nowhere)}, as events.columns calls them; the columns count as empty")
    files = Counter(name for _, name in {(item.uri, name) for item in found for name in item.other_case})
    if files:
        told["columns_in_other_case"] = ", ".join(f"{name} in {count} files" for name, count in sorted(files.items()))
        tell(
            f"letter case counts in column names: not read are {told['columns_in_other_case']} of "
            f"{len({item.uri for item in found})}; name them in events.columns"
        )
    return told


def unsteady_files(hours: Sequence[EventHour]) -> str:
    """What to tell of hours whose files can be read at times, and at times not."""
    names = [as_text(hour.hour) for hour in hours]
    return (
        f"files of {', '.join(names[:NAMED_FILES])} could be read on one look and not on another; these hours are as "
        f"they were, run the job again"
    )
