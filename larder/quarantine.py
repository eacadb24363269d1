"""What was set aside, events of a window or pictures, and why."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.aggregate_hours import QUARANTINED
from jobs.arguments import hour_partition
from models import columns as C
from storage import Place, Tables

EXAMPLE = "example"
ROWS = "rows"


def reasons(tables: Tables, start: int, end: int) -> pa.Table:
    """REASON, ROWS and one EXAMPLE (the raw row) of each reason in the hours [start, end), commonest first."""
    found = tables.find_all(QUARANTINED, [hour_partition(hour) for hour in range(start, end)])
    return _counted(_read(tables.uris(manifest for manifest in found if manifest is not None), C.RAW), C.RAW)


def picture_reasons(tables: Tables) -> pa.Table:
    """REASON, ROWS and one EXAMPLE (the file) of each reason among the catalogue's pictures, commonest first."""
    from jobs.ingest_images import IMAGE_QUARANTINE, PARTITION  # needs Pillow, and events do not

    found = tables.get(IMAGE_QUARANTINE, PARTITION, "larder ingest-images")
    return _counted(_read(tables.uris([found]), C.SOURCE), C.SOURCE)


def _counted(rows: pa.Table, example: str) -> pa.Table:
    counted = rows.group_by(C.REASON).aggregate([([], "count_all"), (example, "min")])
    named = counted.rename_columns({"count_all": ROWS, f"{example}_min": EXAMPLE})
    return named.sort_by([(ROWS, "descending"), (C.REASON, "ascending")])


def _read(uris: Iterable[str], example: str) -> pa.Table:
    schema = pa.schema([(C.REASON, pa.string()), (example, pa.string())])
    tables = [schema.empty_table()]
    for uri in uris:
        system, path = Place(uri).open()
        tables.append(pq.read_table(path, columns=schema.names, filesystem=system))
    return pa.concat_tables(tables)
