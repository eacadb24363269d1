"""JSON lines as Arrow batches, a row for each object, whatever is in it.

Columns have the types that Parquet would give them: text, int64, float64, bool; integers beyond 64 bits are decimals.
A column with values of several types is a dense union of those, so that every value keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from larder.kernels import kernel
from larder.storage import json_grammar as grammar
from larder.storage.json_scanner import scan

BYTES_A_BLOCK = 16 << 20
LONGEST_LINE = 64 << 20
ROWS_A_BATCH = 1 << 17
CORRUPT = "_corrupt"  # column, bool: the row is no JSON object
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Lines = Callable[[np.ndarray], list[str]]


@dataclass
class ColumnNames:
    """Which of the wanted column names a file has, and what it has instead that differs by letter case alone."""

    seen: set[str] = field(default_factory=set)
    other_case: set[str] = field(default_factory=set)

    def add_all(self, wanted: Sequence[str], found: Sequence[str]) -> None:
        """Notes the columns of a file, `found`."""
        self.seen.update(set(wanted) & set(found))
        lower = {name.lower() for name in wanted}
        self.other_case.update(name for name in found if name.lower() in lower and name not in wanted)

    def add(self, names: Sequence[str], seen: np.ndarray, other_case: np.ndarray) -> None:
        """Notes flags, bool [names], of some rows: a row has this name, or one that differs by letter case."""
        self.seen.update(name for name, is_there in zip(names, seen, strict=True) if is_there)
        self.other_case.update(name for name, is_there in zip(names, other_case, strict=True) if is_there)


def read_lines(
    stream: pa.NativeFile, columns: Sequence[str], names_seen: ColumnNames | None = None
) -> Iterator[tuple[pa.RecordBatch, Lines]]:
    """Batches of the rows of a stream with these columns, and for each a function from row numbers to those rows as
    they came.

    A column that no row of a batch has is not in it. Blank lines are no rows. Raises OSError where the stream breaks
    or a row has no end.
    """
    reader = _Rows(columns, names_seen or ColumnNames())
    block = stream.read(BYTES_A_BLOCK).removeprefix(BYTE_ORDER_MARK)
    while more := stream.read(BYTES_A_BLOCK):
        done = yield from reader.read(block, final=False)
        block = block[done:]
        if len(block) > LONGEST_LINE:
            raise OSError(f"a line of more than {LONGEST_LINE} bytes")
        block += more
    yield from reader.read(block, final=True)


class _Rows:
    """Reads blocks of bytes; see `json_scanner.scan` for the arrays."""

    def __init__(self, columns: Sequence[str], names_seen: ColumnNames) -> None:
        self.columns, self.names_seen = list(columns), names_seen
        encoded = [name.encode() for name in columns]
        self.names = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
        self.bounds = np.cumsum([0, *map(len, encoded)])

    def read(self, block: bytes, final: bool) -> Generator[tuple[pa.RecordBatch, Lines], None, int]:
        """Yields the block's rows; returns how many bytes of it they took."""
        data, at = np.frombuffer(block, np.uint8), 0
        while True:
            size = min(ROWS_A_BATCH, 1 + block.count(b"\n", at) + block.count(b"{", at))
            spans, is_object = np.empty((size, 2), np.int64), np.empty(size, np.bool_)
            kinds = np.empty((size, len(self.columns)), np.uint8)
            starts, ends = (np.empty((size, len(self.columns)), np.int64) for _ in range(2))
            seen, other_case = (np.zeros(len(self.columns), np.bool_) for _ in range(2))
            rows, at = scan(
                data, at, final, self.names, self.bounds, spans, is_object, kinds, starts, ends, seen, other_case
            )
            if not rows:
                return at
            self.names_seen.add(self.columns, seen, other_case)
            yield self._batch(data, seen, rows, is_object, kinds, starts, ends), _texts_of(block, spans[:rows])

    def _batch(
        self,
        data: np.ndarray,
        seen: np.ndarray,
        rows: int,
        is_object: np.ndarray,
        kinds: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
    ) -> pa.RecordBatch:
        arrays = {
            name: _column(data, *(np.ascontiguousarray(each[:rows, number]) for each in (kinds, starts, ends)))
            for number, name in enumerate(self.columns)
            if seen[number]
        }
        return pa.record_batch({**arrays, CORRUPT: pa.array(~is_object[:rows])})


def _texts_of(block: bytes, spans: np.ndarray) -> Lines:
    return lambda rows: [block[start:end].decode(errors="backslashreplace") for start, end in spans[rows].tolist()]


# The type that each kind of value is read as.
_TYPES = np.array(
    [
        grammar.NONE, grammar.TEXT, grammar.TEXT, grammar.INTEGER, grammar.BIG_INTEGER, grammar.FLOAT,
        grammar.TRUE, grammar.TRUE, grammar.NESTED,
    ],
    np.uint8,
)  # fmt: skip
_NAMES = {
    grammar.TEXT: "text",
    grammar.INTEGER: "integer",
    grammar.BIG_INTEGER: "big_integer",
    grammar.FLOAT: "float",
    grammar.TRUE: "boolean",
    grammar.NESTED: "nested",
}


def _column(data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """One member's values in n rows: an array where all have one type, else a union of such arrays."""
    types = _TYPES[kinds]
    found = [int(type_) for type_ in np.flatnonzero(np.bincount(types, minlength=len(_TYPES))) if type_]
    if not found:
        return pa.nulls(len(kinds))
    if len(found) == 1:
        return _values(found[0], data, kinds, starts, ends)
    codes, offsets = np.empty(len(kinds), np.int8), np.empty(len(kinds), np.int32)
    children = []
    for code, type_ in enumerate(found):
        # A union has no nulls of its own: they are among the first child's values.
        rows = np.flatnonzero((types == type_) | (types == grammar.NONE) if code == 0 else types == type_)
        codes[rows], offsets[rows] = code, np.arange(len(rows), dtype=np.int32)
        children.append(_values(type_, data, kinds[rows], starts[rows], ends[rows]))
    names = [_NAMES[type_] for type_ in found]
    return pa.UnionArray.from_dense(pa.array(codes), pa.array(offsets), children, names)


def _values(type_: int, data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Values of one type, and nulls."""
    none = kinds == grammar.NONE
    if type_ == grammar.TRUE:
        return pa.array(kinds == grammar.TRUE, mask=none)
    if type_ == grammar.INTEGER:
        return pa.array(_integers(data, kinds, starts, ends), mask=none)
    if type_ == grammar.NESTED:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(kinds) + 1, np.int32)), pa.nulls(0), mask=pa.array(none))
    texts = _texts(data, kinds, starts, ends)
    if type_ == grammar.FLOAT:
        return texts.cast(pa.float64())
    return texts if type_ == grammar.TEXT else texts.cast(pa.decimal256(grammar.MOST_DIGITS, 0))


def _texts(data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.StringArray:
    there = kinds != grammar.NONE
    offsets, size = np.zeros(len(kinds) + 1, np.int32), int(np.sum((ends - starts)[there]))
    out = np.empty(size, np.uint8)
    used = _gathered(data, kinds, starts, ends, offsets, out)
    buffers = [pa.py_buffer(np.packbits(there, bitorder="little")), pa.py_buffer(offsets), pa.py_buffer(out[:used])]
    if there.all():
        buffers[0] = None
    return pa.StringArray.from_buffers(len(kinds), buffers[1], buffers[2], buffers[0])


@kernel
def _gathered(
    data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray, offsets: np.ndarray, out: np.ndarray
) -> int:
    """Copies texts one after the other, escapes resolved; fills in their offsets and returns the last."""
    to = 0
    for i in range(len(kinds)):
        if kinds[i] == grammar.ESCAPED_TEXT:
            to = grammar.unescaped(data, starts[i], ends[i], out, to)
        elif kinds[i] != grammar.NONE:
            for at in range(starts[i], ends[i]):
                out[to] = data[at]
                to += 1
        offsets[i + 1] = to
    return to


@kernel
def _integers(data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    values = np.zeros(len(kinds), np.int64)
    for i in range(len(kinds)):
        if kinds[i] == grammar.NONE:
            continue
        is_negative = data[starts[i]] == 45
        value = np.int64(0)
        for at in range(starts[i] + is_negative, ends[i]):
            value = value * 10 + (np.int64(data[at]) - 48)
        values[i] = -value if is_negative else value
    return values
