"""Commands to Redis, digit by digit as a compiled endpoint writes them, against the contract's own functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from larder.loaders.codec import bucket_and_field
from larder.loaders.keys import COOKIES, Keys
from larder.lookup import number_formatting
from larder.lookup.redis.redis_commands import BucketCommands, SeenCommands, command

KEYS = Keys("shop")
some_key = st.integers(0, 2**64 - 1)
as_compiled = pytest.mark.parametrize("compiled", [False, True])


@as_compiled
@given(key=some_key, count=st.integers(1, 2**40))
def test_a_record_is_read_where_the_loader_wrote_it(compiled: bool, key: int, count: int) -> None:
    buckets, out = BucketCommands(KEYS, "r1", COOKIES, count), BytesWriter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_formatting, "COMPILED", compiled)
        buckets.write_hget(out, key)
    bucket, field = bucket_and_field(key, count)
    name = KEYS.bucket("r1", COOKIES, bucket)
    assert out.getvalue() == command(b"HGET", name, field)
    assert buckets.place(key) == (name, field)


@as_compiled
@given(key=some_key)
def test_what_a_visitor_is_not_shown_is_read_by_its_key(compiled: bool, key: int) -> None:
    out = BytesWriter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_formatting, "COMPILED", compiled)
        commands = SeenCommands(KEYS, 1000)
        commands.write(out, key)
        commands.read_whole()
        commands.write(out, key)
    some = command(b"SSCAN", KEYS.seen(key), b"0", b"COUNT", b"1000")
    assert out.getvalue() == some + command(b"SMEMBERS", KEYS.seen(key))
