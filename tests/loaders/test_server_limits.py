"""What is looked at in a server before a load, and how it is judged where a server does not tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import redis

from larder.loaders import server_limits
from larder.loaders.releases import ReleaseError, Releases
from larder.loaders.server_limits import (
    LISTPACK_BYTES,
    LISTPACK_SETTING,
    ServerLimits,
    require_listpacks,
    require_room,
    warn_of_eviction,
)
from larder.loaders.servers import connect, number_of, run_ids

pytestmark = pytest.mark.end_to_end
MEBIBYTE = 1 << 20


@pytest.fixture
def small(releases: Releases) -> Iterator[redis.Redis]:
    """A client of a server that would not keep buckets compact."""
    releases.client.config_set(LISTPACK_SETTING, 64)
    yield releases.client
    releases.client.config_set(LISTPACK_SETTING, LISTPACK_BYTES)


def limited(client: redis.Redis, name: str, *commands: str) -> redis.Redis:
    """A client of the same server that may use these commands only."""
    client.acl_setuser(name, enabled=True, nopass=True, keys=["*"], commands=["+@read", "+@write", "+ping", *commands])
    path = client.connection_pool.connection_kwargs["path"]
    made = connect(f"unix://{name}:any@{path}")
    assert isinstance(made, redis.Redis)
    return made


def test_a_setting_that_is_too_low_is_raised(small: redis.Redis) -> None:
    require_listpacks(small, "shop")
    assert small.config_get(LISTPACK_SETTING) == {LISTPACK_SETTING: str(LISTPACK_BYTES)}


def test_a_higher_setting_of_the_server_stays(releases: Releases) -> None:
    releases.client.config_set(LISTPACK_SETTING, 4096)
    require_listpacks(releases.client, "shop")
    assert releases.client.config_get(LISTPACK_SETTING) == {LISTPACK_SETTING: "4096"}
    releases.client.config_set(LISTPACK_SETTING, LISTPACK_BYTES)


def test_a_setting_that_may_be_read_and_not_changed_is_named(small: redis.Redis) -> None:
    client = limited(small, "reader", "+config|get")
    with pytest.raises(
        ReleaseError, match=rf"{LISTPACK_SETTING} is 64.*\(130 instead of 100 MiB\); set {LISTPACK_SETTING}"
    ):
        require_listpacks(client, "shop", 100 * MEBIBYTE)


def test_without_config_a_probe_finds_it_out(small: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    client = limited(small, "prober")
    with pytest.raises(
        ReleaseError, match=r"as hashtable.*\(130 instead of 100 MiB\); set hash-max-listpack-value 512"
    ):
        require_listpacks(client, "shop", 100 * MEBIBYTE)
    assert not list(small.scan_iter("shop:probe:*"))
    small.config_set(LISTPACK_SETTING, LISTPACK_BYTES)
    require_listpacks(client, "shop", 100 * MEBIBYTE)
    assert not caplog.records


def test_without_a_probe_too_it_is_told_with_the_figures(small: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    client = limited(small, "blind", "-object")
    require_listpacks(client, "shop", 100 * MEBIBYTE)
    [record] = caplog.records
    assert "130 instead of 100 MiB" in record.getMessage()


@pytest.mark.parametrize("check", ["require", "warn", "off"])
def test_what_is_wrong_is_refused_or_warned_of_as_set(
    small: redis.Redis, caplog: pytest.LogCaptureFixture, check: server_limits.Check
) -> None:
    limits = ServerLimits(limited(small, "any", "+info"), "shop", check)
    if check == "require":
        with pytest.raises(ReleaseError, match="listpack"):
            limits.before_load(MEBIBYTE, "r1")
        return
    limits.before_load(1 << 60, "r1")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (2 if check == "warn" else 0)
    assert all("the load goes on" in line for line in said)


def test_a_server_that_hides_its_memory_is_told_of(releases: Releases, caplog: pytest.LogCaptureFixture) -> None:
    require_room(limited(releases.client, "hidden"), 300 * MEBIBYTE, "r1")
    [record] = caplog.records
    assert "r1 takes about 300 MiB" in record.getMessage()


def test_memory_that_is_freed_late_is_waited_for(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """INFO's figures of a server that frees a retired release after it has answered."""
    used = iter([950, 950, 800, 700, 600, 400, 100, 100])
    told: list[int] = []

    def info(*_: object) -> dict[str, int]:
        told.append(next(used))
        return {"used_memory": told[-1] * MEBIBYTE, "maxmemory": 1000 * MEBIBYTE}

    monkeypatch.setattr(server_limits, "info", info)
    require_room(releases.client, 500 * MEBIBYTE, "r1")
    assert told[-1] <= 500
    used = iter([950] * 20)
    with pytest.raises(ReleaseError, match="has 950 of 1,000 MiB"):
        require_room(releases.client, 500 * MEBIBYTE, "r1")


def test_a_server_that_evicts_is_warned_of_with_the_figures(
    releases: Releases, caplog: pytest.LogCaptureFixture
) -> None:
    client = releases.client
    for policy, limit, warned in [
        ("allkeys-lru", 1 << 30, 1),
        ("allkeys-lfu", 0, 0),
        ("volatile-lru", 1 << 30, 0),
        ("noeviction", 1 << 30, 0),
    ]:
        caplog.clear()
        client.config_set("maxmemory", limit)
        client.config_set("maxmemory-policy", policy)
        warn_of_eviction(client)
        assert len(caplog.records) == warned, policy
        assert all("1,024 MiB are in use" in record.getMessage() for record in caplog.records)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize(
    ("fields", "number"), [({}, None), ({"x": "tbd"}, None), ({"x": None}, None), ({"x": "12"}, 12), ({"x": 7}, 7)]
)
def test_a_field_of_info_may_be_missing_or_no_number(fields: dict[str, object], number: int | None) -> None:
    assert number_of(fields, "x") == number


def test_a_server_without_info_has_no_known_start(releases: Releases) -> None:
    assert run_ids(limited(releases.client, "uninformed")) == ("",)
    assert logging.getLogger("larder.loaders").level == logging.NOTSET
