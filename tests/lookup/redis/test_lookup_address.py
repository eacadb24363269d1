"""Where Redis is, as its URL says."""

from __future__ import annotations

import pytest

from larder.lookup.redis.address import AddressError, RedisAddress, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", RedisAddress("localhost")),
        ("redis://shop:7000", RedisAddress("shop", 7000)),
        ("redis://shop:7000/0", RedisAddress("shop", 7000)),
        ("redis://shop?db=0", RedisAddress("shop")),
        ("redis://[::1]:7000", RedisAddress("::1", 7000)),
        ("redis://:p%40ss@shop", RedisAddress("shop", password="p@ss")),
        ("redis://me:secret@shop", RedisAddress("shop", username="me", password="secret")),
        ("unix:///run/redis.sock", RedisAddress(socket="/run/redis.sock")),
        ("redis://shop/3", RedisAddress("shop", database=3)),
        (
            "redis+sentinel://:x@one:1,two/shop?sentinel_password=y",
            RedisAddress(password="x", sentinels=(("one", 1), ("two", 26379)), service="shop", sentinel_password="y"),
        ),
        ("unix://me:x@/run/r.sock?db=0", RedisAddress(socket="/run/r.sock", username="me", password="x")),
        ("unix:///run/r.sock?password=x", RedisAddress(socket="/run/r.sock", password="x")),
    ],
)
def test_what_a_url_says(url: str, address: RedisAddress) -> None:
    assert parse_address(url) == address


def test_tls_checks_certificates_unless_told_not_to() -> None:
    checked = parse_address("rediss://shop").tls
    assert checked is not None and checked.check_hostname
    unchecked = parse_address("rediss://shop?ssl_cert_reqs=none").tls
    assert unchecked is not None and not unchecked.check_hostname


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "redis://"),
        ("http://shop", "must begin with redis://"),
        ("redis://shop/first", "database"),
        ("redis://shop?db=-2", "database"),
        ("redis://shop:x", "port"),
        ("redis://shop:99999", "port"),
        ("redis://shop?ssl_cert_reqs=none", "option that is not known"),
        ("redis://shop?socket_timeout=1", "option that is not known"),
        ("rediss://shop?ssl_ca_certs=/nowhere", "certificate"),
        ("rediss://shop?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("unix://", "socket"),
    ],
)
def test_a_url_that_will_not_do(url: str, told: str) -> None:
    with pytest.raises(AddressError, match=told):
        parse_address(url)


def test_logs_never_show_the_password() -> None:
    assert "secret" not in str(parse_address("redis://me:secret@shop"))
