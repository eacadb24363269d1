"""Names of keys, and the 64-bit keys of ids."""

from __future__ import annotations

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from larder.loaders.keys import CONTEXTS, COOKIES, KINDS, PRODUCTS, Keys, context_key64, key64

KEYS = Keys("larder")


def test_keys_are_named_as_the_contract_says() -> None:
    assert KEYS.live == b"larder:live"
    assert KEYS.releases == b"larder:releases"
    assert KEYS.meta("R") == b"larder:R:meta"
    assert KEYS.dictionary("R", 26) == b"larder:R:d:1a"
    assert [KEYS.bucket("R", kind, 255) for kind in KINDS] == [b"larder:R:c:ff", b"larder:R:p:ff", b"larder:R:g:ff"]
    assert (COOKIES, PRODUCTS, CONTEXTS) == KINDS


def test_namespaces_share_no_key() -> None:
    assert Keys("a").live != Keys("b").live


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_key_is_the_hash_of_the_utf8_bytes(text: str) -> None:
    assert key64(text) == xxhash.xxh64_intdigest(text.encode(), 42)
    assert 0 <= key64(text) < 2**64


def test_half_a_surrogate_pair_has_a_key_too() -> None:
    assert 0 <= key64("\ud800") < 2**64


def test_location_and_device_are_not_confused() -> None:
    contexts = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("", "")]
    assert len({context_key64(*context) for context in contexts}) == len(contexts)
    assert context_key64("a", "b") == key64("a\x1fb")
