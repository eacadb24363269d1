"""What was set aside, events of a window or pictures, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from larder.models import columns as C
from larder.models.hours import as_text, hour_partition
from larder.models.tables import CATALOGUE, IMAGE_QUARANTINE, QUARANTINE
from larder.storage import MissingPartitionError, Tables
from larder.storage.event_folders import UNREADABLE
from larder.storage.parquet_reading import read_columns

EXAMPLE = "example"
ROWS = "rows"


def reasons(tables: Tables, hours: range) -> pa.Table:
    """REASON, ROWS and one EXAMPLE (the raw row) of each reason in some hours, commonest first.

    Raises MissingPartitionError where none of them is aggregated: that nothing was set aside would be no news.
    """
    found = [some for some in tables.find_all(QUARANTINE, map(hour_partition, hours)) if some is not None]
    if not found:
        start, end = as_text(hours.start), as_text(hours.stop)
        made_by = f"larder aggregate-hours --start {start} --end {end}"
        raise MissingPartitionError(f"no hour from {start} to {end} is aggregated yet; run `{made_by}` first")
    rows = _read(tables.uris(found), [C.SOURCE, C.RAW])
    # Of a file that can't be read there is no row to show, and what is wrong with it tells nobody which one it is.
    named = pc.binary_join_element_wise(rows[C.SOURCE], rows[C.RAW], ": ")
    shown = pc.if_else(pc.equal(rows[C.REASON], UNREADABLE), named, rows[C.RAW])
    return _counted(rows.set_column(rows.column_names.index(C.RAW), C.RAW, shown), C.RAW)


def picture_reasons(tables: Tables) -> pa.Table:
    """REASON, ROWS and one EXAMPLE (the file) of each reason among the catalogue's pictures, commonest first."""
    found = tables.get(IMAGE_QUARANTINE, CATALOGUE, "larder ingest-images")
    return _counted(_read(tables.uris([found]), [C.SOURCE]), C.SOURCE)


def _counted(rows: pa.Table, example: str) -> pa.Table:
    counted = rows.group_by(C.REASON).aggregate([([], "count_all"), (example, "min")])
    named = counted.rename_columns({"count_all": ROWS, f"{example}_min": EXAMPLE})
    return named.sort_by([(ROWS, "descending"), (C.REASON, "ascending")])


def _read(uris: Iterable[str], examples: Sequence[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in (C.REASON, *examples)])
    return pa.concat_tables([schema.empty_table(), *(read_columns(uri, schema.names) for uri in uris)])
