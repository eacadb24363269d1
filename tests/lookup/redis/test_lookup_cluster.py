"""Lookups in a Redis Cluster of real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from lookup_servers import Endpoint, RedisServer, ids_of, publish, ranked, route_of, wait_until

from larder.loaders.mask_sets import MaskSets
from larder.loaders.servers import slot_of as loaders_slot_of
from larder.lookup.redis.redis_cluster import (
    SLOTS,
    Redirection,
    owners_from,
    redirection_from,
    slot_of,
    split_commands,
)
from larder.lookup.redis.redis_commands import command

COOKIES = [f"c{number}" for number in range(60)]
words = st.lists(st.binary(max_size=5), min_size=2, max_size=4)


@given(st.lists(words, max_size=5))
def test_commands_are_taken_apart_as_they_were_put_together(commands: list[list[bytes]]) -> None:
    together = [command(*each) for each in commands]
    assert list(split_commands(b"".join(together))) == [
        (whole, each[1]) for whole, each in zip(together, commands, strict=True)
    ]


@given(st.binary().filter(lambda key: b"{" not in key))
def test_a_key_lies_where_the_loader_put_it(key: bytes) -> None:
    assert slot_of(key) == loaders_slot_of(key)


def test_a_server_without_a_name_is_where_it_was_reached() -> None:
    reply = [[0, 99, [b"", 7000, b"id"]], [100, SLOTS - 1, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.3", 7001, b"id"]]]
    assert owners_from(reply, "seed") == {("seed", 7000): [(0, 99)], ("10.0.0.2", 7001): [(100, SLOTS - 1)]}


@pytest.mark.parametrize(
    ("error", "there"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirection(("127.0.0.1", 6381), False)),
        ("ASK 3999 fd00::1:6381", Redirection(("fd00::1", 6381), True)),
        ("MOVED 3999 :6381", Redirection(("", 6381), False)),
        ("MOVED", None),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
    ],
)
def test_a_redirection_names_a_server(error: str, there: Redirection | None) -> None:
    assert redirection_from(error) == there


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    folders: list[Path] = [tmp_path_factory.mktemp("node") for _ in range(3)]
    servers = [RedisServer(folder, "--cluster-enabled", "yes") for folder in folders]
    half = SLOTS // 2
    for server, first in zip(servers[:2], (0, half), strict=True):  # the third has no slot yet
        server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", first, first + half - 1)
    for server in servers[1:]:
        servers[0].client().execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
    wait_until(lambda: all(b"cluster_state:ok" in _state(server) for server in servers), 30)
    yield servers
    for server in servers:
        server.kill()


def _state(server: RedisServer) -> bytes:
    answer = server.client().execute_command("CLUSTER", "INFO")
    return answer if isinstance(answer, bytes) else repr(answer).replace("'", "").replace(": ", ":").encode()


@pytest.mark.end_to_end
@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"cluster": True}], ids=["found out", "set"])
def test_lookups_reach_every_server_and_outlast_one(
    cluster: list[RedisServer], own_endpoint: Callable[..., Endpoint], settings: dict[str, bool]
) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster[0].port)
    publish(
        client,
        "r1",
        personal={cookie: ranked(f"own-{cookie}") for cookie in COOKIES},
        similar={"p1": ranked("p2"), "p3": ranked("p4")},
        generic={("", ""): ranked("g1", "g2")},
    )
    served = own_endpoint(cluster[0].url, **settings)
    served.wait_ready("r1")
    for cookie in COOKIES:
        assert ids_of(served.ask(f"cookie={cookie}&n=1")) == [f"own-{cookie}"]
    assert ids_of(served.ask("product=p1&product=p3&cookie=c1&n=3")) == ["p2", "p4", "own-c1"]
    batch = {"requests": [{"cookie": cookie, "n": 1} for cookie in COOKIES]}
    answers = served.client.post("/v1/recommendations:batch", json=batch).json()["responses"]
    assert [ids_of(each["answer"]) for each in answers] == [[f"own-{cookie}"] for cookie in COOKIES]
    asked = 2 * len(COOKIES) + 1
    assert f'larder_lookup_route_seconds_count{{route="personal"}} {asked}\n' in served.client.get("/metrics").text
    MaskSets(client, "larder").add(["g1"], "withdrawn")
    wait_until(lambda: ids_of(served.ask("n=1")) == ["g2"], 1)

    cluster[1].kill()
    wait_until(lambda: not served.readiness()["redis"]["up"])
    statuses = [route_of(served.ask(f"cookie={cookie}"), "personal")["status"] for cookie in COOKIES]
    assert statuses.count("skipped") > 0
    assert all(ids_of(served.ask(f"cookie={cookie}")) for cookie in COOKIES)
    client.close()


@pytest.mark.end_to_end
@pytest.mark.slow
@pytest.mark.parametrize("to", [1, 2], ids=["a server with slots", "a new server"])
def test_lists_are_found_while_their_slot_moves(
    cluster: list[RedisServer], own_endpoint: Callable[..., Endpoint], to: int
) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster[0].port)
    personal = {cookie: ranked(f"own-{cookie}") for cookie in COOKIES}
    publish(client, "r1", personal=personal, similar={}, generic={("", ""): ranked("g1", "g2")})
    served = own_endpoint(cluster[0].url)
    served.wait_ready("r1")

    def found() -> list[list[str]]:
        return [ids_of(served.ask(f"cookie={cookie}&n=1")) for cookie in COOKIES]

    expected = [[f"own-{cookie}"] for cookie in COOKIES]
    assert found() == expected
    source, target = (cluster[place].client() for place in (0, to))
    ids = [one.execute_command("CLUSTER", "MYID") for one in (source, target)]
    buckets = list(source.scan_iter(match="*", count=1000))
    slots = {slot_of(key) for key in buckets}
    assert slots
    for slot in slots:
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    for key in buckets:  # moved, and the slot not yet: the source answers ASK
        source.execute_command("MIGRATE", "127.0.0.1", cluster[to].port, key, 0, 5000)
    assert found() == expected
    for slot in slots:  # the source answers MOVED until the endpoint has looked again
        for one in (target, source):
            one.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    assert found() == expected
    wait_until(lambda: served.readiness()["redis"]["up"])
    assert found() == expected
    client.close()
