"""Files that a training keeps while it runs: arrays in Arrow files, mapped into memory if they are on a local disk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.storage import StoragePath

Array = npt.NDArray[np.generic]


def write_arrays(place: StoragePath, arrays: Mapping[str, Array]) -> int:
    """Writes flat arrays into one Arrow file, a row in which each is a list, and returns its size in bytes."""
    columns = [
        pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), pa.array(values))
        for values in arrays.values()
    ]
    row = pa.record_batch(columns, names=list(arrays))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, row.schema) as writer:
        writer.write_batch(row)
    data = sink.getvalue()
    place.write(data)
    return int(data.size)


class DamagedTrainingError(RuntimeError):
    """A file of a training that was cut short is damaged, as a loss of power leaves it; the message names the file."""


def read_arrays(place: StoragePath) -> dict[str, Array]:
    """Returns the arrays that `write_arrays` wrote, read-only. Raises DamagedTrainingError."""
    try:
        source = pa.memory_map(place.path) if place.is_local else pa.BufferReader(place.read())
        row = pa.ipc.open_file(source).get_batch(0)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        folder = place.uri.rpartition("/")[0]
        raise DamagedTrainingError(
            f"{place.uri}, of a training that was cut short, can't be read ({error}); remove {folder} and run it again"
        ) from None
    return {name: row.column(name).values.to_numpy() for name in row.schema.names}


def remove(place: StoragePath) -> None:
    """Removes a file, or a folder with everything below it, if it exists."""
    system, path = place.open()
    kind = system.get_file_info(path).type
    if kind == pa.fs.FileType.Directory:
        system.delete_dir(path)
    elif kind == pa.fs.FileType.File:
        system.delete_file(path)
