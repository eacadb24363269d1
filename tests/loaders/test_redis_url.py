"""`redis.url`: what is understood, and that no message repeats any part of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.loaders.redis_url import RedisUrlError, parse_redis_url

SECRET = "s3cretwords"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://", "localhost:6379"),
        ("redis://shop.example", "shop.example:6379"),
        ("redis://user:pa%2Fss@shop.example:7000/3", "shop.example:7000"),
        ("rediss://[::1]:7000?ssl_cert_reqs=none", "::1:7000"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("unix://:pa%3Fss@/run/redis.sock", "unix:///run/redis.sock"),
        ("redis+sentinel://:word@one:1,two/shop/4", "shop at one:1,two:26379"),
    ],
)
def test_what_is_understood(url: str, told: str) -> None:
    assert str(parse_redis_url(url)) == told


def test_every_part_is_read() -> None:
    url = parse_redis_url("redis://user:pa%2F%3Fss%40@shop:7000/3")
    assert (url.username, url.password, url.database, url.is_tls) == ("user", "pa/?ss@", 3, False)
    url = parse_redis_url("rediss+sentinel://:a@one/shop?sentinel_password=b&ssl_check_hostname=false&db=5")
    assert (url.sentinels, url.service, url.database) == ((("one", 26379),), "shop", 5)
    assert (url.password, url.sentinel_password, url.checks_hostname, url.is_tls) == ("a", "b", False, True)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{SECRET}",
        f"{SECRET}",
        f"redis://:{SECRET}/more@shop",
        f"redis://:more/{SECRET}@shop",
        f"redis://:more?{SECRET}@shop",
        f"redis://:more?{SECRET}=1@shop",
        f"redis://:more?db={SECRET}",
        f"redis://:more#{SECRET}@shop",
        f"redis://shop/{SECRET}",
        f"redis://shop:{SECRET}",
        f"redis://[{SECRET}",
        f"rediss://shop?ssl_cert_reqs={SECRET}",
        f"redis://shop?ssl_cert_reqs=none&{SECRET}=1",
        f"unix://{SECRET}/run/redis.sock",
        f"redis+sentinel://:{SECRET}@one:1",
        f"redis+sentinel://:{SECRET}@one:port/shop",
    ],
)
def test_what_is_not_understood_is_never_repeated(url: str) -> None:
    with pytest.raises(RedisUrlError) as caught:
        parse_redis_url(url)
    assert "redis.url" in str(caught.value)
    assert SECRET not in str(caught.value)


@given(st.text(min_size=4, max_size=30).filter(lambda text: text not in "redis.url must be percent-encoded"))
def test_any_password_is_read_or_refused_without_being_repeated(password: str) -> None:
    from urllib.parse import quote

    assert parse_redis_url(f"redis://:{quote(password, safe='')}@shop/0").password == password
    try:
        assert str(parse_redis_url(f"redis://:{password}@shop/0")) == "shop:6379"
    except RedisUrlError as error:
        assert f"{password}@" not in str(error)
    except AssertionError:  # a password with @ in it may name another host, which is no secret of the message's
        assert "@" in password or "/" in password
