"""The JavaScript reader of the docs under Node: the contract's vectors, and a release that was really loaded."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from publishing_shop import FIRST, Shop
from repository import ROOT

from larder.loaders.codec import bucket_and_field, decode_dictionary, decode_list, encode_lists
from larder.loaders.keys import context_key64, key64

READER = ROOT / "docs" / "readers" / "reader.mjs"
NODE = shutil.which("node")
pytestmark = [pytest.mark.end_to_end, pytest.mark.skipif(NODE is None, reason="Node is not installed")]
RECORDS = ["0405ac02", "0505ac020040ff80", "00", "01"]
TEXTS = ["", "a", "1228", "é", "0123456789abcdef", "x" * 31, "x" * 32, "y" * 33, "z" * 100]
KEYS = [(0xFEDCBA9876543210, 1000), (2**64 - 1, 1), (0, 7), (2**63, 208_334)]


def in_node(script: str, given: object) -> object:
    """What `script` logs; it finds the reader's exports as `reader` and `given`."""
    source = f'import * as reader from "{READER.as_uri()}"; const given = {json.dumps(given)}; {script}'
    done = subprocess.run([str(NODE), "--input-type=module", "-e", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys() -> None:
    found = in_node("console.log(JSON.stringify(given.map((t) => String(reader.key64(t)))))", TEXTS)
    assert found == [str(key64(text)) for text in TEXTS]
    found = in_node("console.log(JSON.stringify(String(reader.contextKey64('367', 'till'))))", None)
    assert found == str(context_key64("367", "till")) == str(0x3CE6BEFADED9ED15)


def test_buckets_and_fields() -> None:
    script = """console.log(JSON.stringify(given.map(([key, n]) => {
        const { bucket, field } = reader.bucketAndField(BigInt(key), n); return [bucket, field.toString("hex")]; })))"""
    expected = [bucket_and_field(key, buckets) for key, buckets in KEYS]
    found = in_node(script, [[str(key), buckets] for key, buckets in KEYS])
    assert found == [[bucket, field.hex()] for bucket, field in expected]


def test_records() -> None:
    script = "console.log(JSON.stringify(given.map((r) => reader.decodeList(Buffer.from(r, 'hex')))))"
    random = np.random.default_rng(0)
    ordinals = random.integers(0, 2**28, 60)
    data, ends = encode_lists(np.array([0, 30, 60]), ordinals, np.tile(np.linspace(7.5, 0.1, 30), 2))
    given = RECORDS + [data[ends[at] : ends[at + 1]].tobytes().hex() for at in range(2)]
    found = in_node(script, given)
    assert isinstance(found, list)
    for record, got in zip(given, found, strict=True):
        items, scores = decode_list(bytes.fromhex(record))
        assert got["ordinals"] == items
        assert got["scores"] == (None if scores is None else pytest.approx(scores))


def test_a_record_cut_short_is_refused() -> None:
    script = """console.log(JSON.stringify(given.map((r) => {
        try { reader.decodeList(Buffer.from(r, "hex")); return "read"; } catch { return "refused"; } })))"""
    assert in_node(script, ["04", "0405", "0505ac020040ff", "040502ff", ""]) == ["refused"] * 5


def test_a_release_that_was_loaded(single_shop: Shop) -> None:
    single_shop.release(FIRST)
    assert single_shop.load(FIRST).returncode == 0
    releases = single_shop.releases()
    name = releases.live().release or ""
    ids = decode_dictionary(releases.client.get(releases.keys.dictionary(name, 0)))
    for route, words in (("product", ["p0000003"]), ("generic", ["nowhere", "none"])):
        done = subprocess.run(
            [str(NODE), str(READER), single_shop.url, route, *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        kind, key = ("p", key64("p0000003")) if route == "product" else ("g", context_key64("", ""))
        buckets = json.loads(releases.client.get(releases.keys.meta(name)))["buckets"]
        bucket, field = bucket_and_field(key, buckets[kind])
        ordinals, scores = decode_list(releases.client.hget(releases.keys.bucket(name, kind, bucket), field))
        found = json.loads(done.stdout)
        assert found["items"] == [ids[ordinal] for ordinal in ordinals]
        assert found["scores"] == pytest.approx(scores)
