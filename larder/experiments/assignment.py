"""Assignment: the arm of an experiment that a visitor is in.

It is a pure function of salt, layer, unit and the experiment's segments, without any state, so that every process and
every reader of a log finds the same arm. XXH64 is Spark's `xxhash64` too:

    shiftrightunsigned(xxhash64(concat_ws(char(31), salt, layer, cookie_id)), 32)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xxhash

SEED = 42
SPACE = 1 << 32  # assignment numbers are below this
SEPARATOR = "\x1f"
NOBODY = ""  # the arm of the visitors that take no part

# The end of a segment, exclusive, and its arm. The first segment begins at 0, each other one where the last one ended.
Segment = tuple[int, str]


def assignment_number(salt: str, layer: str, unit: str) -> int:
    """Returns the visitor's number in a layer, from 0 to 2^32 - 1: the upper half of XXH64 with seed 42.

    `unit` is the cookie id, or the request id where requests are assigned.
    """
    salted = f"{salt}{SEPARATOR}{layer}{SEPARATOR}{unit}"
    return xxhash.xxh64_intdigest(salted.encode("utf-8", "surrogatepass"), SEED) >> 32


def arm_at(segments: Sequence[Segment], number: int) -> str:
    """Returns the name of the arm that has this number, or NOBODY."""
    for end, arm in segments:
        if number < end:
            return arm
    return NOBODY


def segments_of(shares: Mapping[str, float]) -> tuple[Segment, ...]:
    """Returns one segment for each arm with a share, in the order of the mapping; the rest takes no part."""
    sizes = _sizes(shares)
    return _joined([(arm, size) for arm, size in sizes.items()])


def shifted(segments: Sequence[Segment], shares: Mapping[str, float]) -> tuple[Segment, ...]:
    """Returns segments with the given shares in which as few visitors as possible change their arm.

    An arm that shrinks gives the ends of its segments, and those that grow take them in their order; a visitor of an
    arm that keeps its share or grows stays in it.
    """
    wanted, had = _sizes(shares), _totals(segments)
    surplus = {arm: size - wanted.get(arm, 0) for arm, size in had.items()}
    missing = {arm: size - had.get(arm, 0) for arm, size in wanted.items()}
    takers = [arm for arm, size in missing.items() if size > 0]
    pieces: list[tuple[str, int]] = []
    # From the last segment on, so that an arm gives its end and keeps its beginning.
    for arm, size in reversed(_pieces(segments)):
        given = min(size, max(0, surplus[arm]))
        surplus[arm] -= given
        size -= given
        while given:
            taker = takers[-1]
            part = min(given, missing[taker])
            pieces.append((taker, part))
            missing[taker] -= part
            given -= part
            if not missing[taker]:
                takers.pop()
        pieces.append((arm, size))
    return _joined(pieces[::-1])


def shares_of(segments: Sequence[Segment]) -> dict[str, float]:
    """Returns the share of each arm that has one, from 0 to 1; NOBODY is left out."""
    return {arm: size / SPACE for arm, size in _totals(segments).items() if arm != NOBODY and size}


def _sizes(shares: Mapping[str, float]) -> dict[str, int]:
    """Returns the size of each arm in numbers, and that of NOBODY; together they are SPACE.

    Cumulative shares are rounded, not each share, so that the sum is right.
    """
    sizes: dict[str, int] = {}
    total, before = 0.0, 0
    for arm, share in shares.items():
        total += share
        end = min(SPACE, round(total * SPACE))
        sizes[arm] = end - before
        before = end
    return {**sizes, NOBODY: SPACE - before}


def _totals(segments: Sequence[Segment]) -> dict[str, int]:
    """Returns the size of each arm, and that of NOBODY."""
    sizes: dict[str, int] = {}
    for arm, size in _pieces(segments):
        sizes[arm] = sizes.get(arm, 0) + size
    return sizes


def _pieces(segments: Sequence[Segment]) -> list[tuple[str, int]]:
    """Returns the arm and the size of each segment; what is behind the last one is NOBODY's."""
    pieces, begin = [], 0
    for end, arm in (*segments, (SPACE, NOBODY)):
        pieces.append((arm, end - begin))
        begin = end
    return pieces


def _joined(pieces: Sequence[tuple[str, int]]) -> tuple[Segment, ...]:
    """Returns the segments of these pieces, those of one arm side by side as one, without empty ones."""
    segments: list[Segment] = []
    end = 0
    for arm, size in pieces:
        end += size
        if not size:
            continue
        if segments and segments[-1][1] == arm:
            segments.pop()
        segments.append((end, arm))
    if segments and segments[-1][1] == NOBODY:
        segments.pop()
    return tuple(segments)
