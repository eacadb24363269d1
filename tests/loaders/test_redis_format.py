"""The contract's own test vectors, read from the document, against what the code does."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from repository import ROOT

from larder.loaders.codec import bucket_and_field, decode_dictionary, decode_list, encode_dictionary, encode_lists
from larder.loaders.keys import Keys, context_key64, key64

DOCUMENT = ROOT / "docs" / "redis_format.md"


def vectors() -> list[tuple[str, str]]:
    """(value, bytes) of the table below the heading."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Test vectors")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    return [(value, expected) for value, expected in rows[2:]]


def packed(items: list[int], scores: list[float] | None) -> bytes:
    values = None if scores is None else np.array(scores)
    return encode_lists(np.array([0, len(items)]), np.array(items, np.int64), values)[0].tobytes()


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", text)]


def check_cookie(match: re.Match[str], expected: str) -> None:
    assert f"`{key64(match[1]):#018x}`" == expected


def check_context(match: re.Match[str], expected: str) -> None:
    assert f"`{context_key64(match[1], match[2]):#018x}`" == expected


def check_list(match: re.Match[str], expected: str) -> None:
    items = [int(number) for number in numbers(match[1])]
    scores = None if match[2] == "no scores" else numbers(match[2].removeprefix("scores"))
    record = bytes.fromhex(expected.strip("`"))
    assert packed(items, scores) == record
    found_items, found = decode_list(record)
    assert found_items == items
    assert (None if found is None else [round(score, 2) for score in found]) == scores


def check_empty(match: re.Match[str], expected: str) -> None:
    scores = None if match[1] == "no scores" else []
    assert packed([], scores) == bytes.fromhex(expected.strip("`"))
    assert decode_list(packed([], scores)) == ([], scores)


def check_bucket(match: re.Match[str], expected: str) -> None:
    bucket, field = bucket_and_field(int(match[1], 16), int(match[2]))
    assert expected == f"bucket `{bucket:x}` hexadecimal, field `{field.hex(' ')}`"
    assert Keys("larder").bucket("R", "c", bucket).decode() == f"larder:R:c:{bucket:x}"


def check_dictionary(match: re.Match[str], expected: str) -> None:
    ids = [match[1], match[2]]
    assert encode_dictionary(ids) == [bytes.fromhex(expected.strip("`"))]
    assert decode_dictionary(encode_dictionary(ids)[0]) == ids


def check_layers(match: re.Match[str], expected: str) -> None:
    asked = []
    for release, buckets in ((match[2], int(match[3])), (match[4], int(match[5]))):
        bucket, field = bucket_and_field(key64(match[1]), buckets)
        asked.append(f"`HGET {Keys('larder').bucket(release, 'c', bucket).decode()} {field.hex()}`")
    assert ", ".join(asked) == expected


def check_chunks(match: re.Match[str], expected: str) -> None:
    owners = ["D" if int(chunk) >= int(match[2]) else "R" for chunk in match[1].split(", ")]
    names = [Keys("larder").dictionary(owner, chunk).decode() for chunk, owner in enumerate(owners)]
    assert ", ".join(f"`{name}`" for name in names) == expected


CHECKS: dict[str, Callable[[re.Match[str], str], None]] = {
    r"key of cookie `(.+)`": check_cookie,
    r"key of location `(.+)`, device `(.+)`": check_context,
    r"items ([\d, ]+), (no scores|scores [\d., ]+)": check_list,
    r"no items, (no scores|scores)": check_empty,
    r"key (0x\w+) in (\d+) buckets": check_bucket,
    r"dictionary chunk of `(.+)`, `(.+)`": check_dictionary,
    r"list of cookie `(.+)` in delta (\w) \((\d+) buckets\) over (\w) \((\d+)\)": check_layers,
    r"ordinals of chunks ([\d, ]+) with `base.chunks` (\d+)": check_chunks,
}


@pytest.mark.parametrize(("value", "expected"), vectors())
def test_a_vector_of_the_document_holds(value: str, expected: str) -> None:
    [(match, check)] = [(m, check) for pattern, check in CHECKS.items() if (m := re.fullmatch(pattern, value))]
    check(match, expected)


def test_the_document_has_a_vector_of_every_kind() -> None:
    for pattern in CHECKS:
        assert any(re.fullmatch(pattern, value) for value, _ in vectors()), pattern
