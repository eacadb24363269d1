"""JSON lines as Arrow batches, one row a line whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

BYTES_A_BLOCK = 16 << 20
LONGEST_LINE = 64 << 20
CORRUPT = "_corrupt"  # column, bool: the line is no JSON object
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Lines = Callable[[np.ndarray], list[str]]


def read_lines(stream: pa.NativeFile) -> Iterator[tuple[pa.RecordBatch, Lines]]:
    """Batches of the objects in a stream, and for each a function from row numbers to the lines as they came.

    Blank lines are no rows. Raises OSError where the stream breaks or a line has no end.
    """
    for block in _blocks(stream):
        lines = [line for line in block.split(b"\n") if line.strip()]
        if lines:
            yield _parsed(lines), _texts_of(lines)


def _blocks(stream: pa.NativeFile) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time."""
    block = stream.read(BYTES_A_BLOCK).removeprefix(BYTE_ORDER_MARK)
    while more := stream.read(BYTES_A_BLOCK):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            yield whole
        block = tail + more
        if len(block) > LONGEST_LINE:
            raise OSError(f"a line of more than {LONGEST_LINE} bytes")
    yield block


def _texts_of(lines: list[bytes]) -> Lines:
    return lambda rows: [lines[row].decode(errors="backslashreplace") for row in rows]


def _parsed(lines: list[bytes]) -> pa.RecordBatch:
    """All lines at once where every one is an object and columns have one type each; else line by line."""
    block = b"\n".join(lines)
    if all(line.lstrip().startswith(b"{") for line in lines) and _is_text(block):
        options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        try:
            table = pj.read_json(pa.BufferReader(block), options)
            if table.num_rows == len(lines) and CORRUPT not in table.schema.names:
                return table.combine_chunks().to_batches()[0]
        except pa.ArrowInvalid:
            pass
    return _one_by_one(lines)


def _is_text(block: bytes) -> bool:
    """Whether it is UTF-8 without a NUL, neither of which Arrow's reader asks for."""
    try:
        return "\x00" not in block.decode()
    except UnicodeDecodeError:
        return False


def _one_by_one(lines: list[bytes]) -> pa.RecordBatch:
    """Every value as text, so that a column may hold numbers here and texts there."""
    objects = [_object(line) for line in lines]
    names = {name: None for found in objects if found for name in found if name != CORRUPT}
    columns = {name: pa.array([_text((found or {}).get(name)) for found in objects], pa.string()) for name in names}
    return pa.record_batch({**columns, CORRUPT: pa.array([found is None for found in objects], pa.bool_())})


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode(errors="replace").decode()
    return json.dumps(value, ensure_ascii=False)
