"""Experiments in running endpoints: who gets what, from which release, and what is said of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from experiments_in_redis import EQUAL, put, running
from lookup_servers import GENERIC, KEYS, PERSONAL, Endpoint, RedisServer, ids_of, publish, ranked, wait_until

pytestmark = pytest.mark.end_to_end

MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]
COOKIES = [f"visitor-{number}" for number in range(200)]
KEY = "the key of an operator"
WRITTEN_SECONDS = 120.0  # the writer of the log gives way to everything else on a busy machine


def publish_three(client: Any) -> None:
    """Three releases, of which r1 is live; each gives everybody a product of its own."""
    for release in ("r3", "r2", "r1"):
        publish(client, release, generic={("", ""): ranked(f"of-{release}", "p1", "p2", "p3")})


def arms_of(served: Endpoint, cookies: list[str] = COOKIES) -> dict[str, str]:
    return {cookie: arm_of(served.ask(f"cookie={cookie}&n=1")) for cookie in cookies}


def arm_of(answer: Mapping[str, Any]) -> str:
    return str(answer["experiments"][0]["arm"]) if "experiments" in answer else ""


def in_force(served: Endpoint) -> list[str]:
    return list(served.readiness()["experiments"]["in_force"])


def rows_in(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("dt=*/hr=*/[!_]*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def test_each_arm_gets_its_release_and_the_log_says_so(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    server = own_redis()
    publish_three(server.client())
    served = own_endpoint(server.url, journey=tmp_path, journey_seconds=1)
    served.wait_ready("r1")
    experiment = running(
        {"live": {"share": 0.25}, "second": {"share": 0.25, "release": "r2"}, "third": {"share": 0.25, "release": "r3"}}
    )
    put(server.client(), lists=experiment)
    wait_until(lambda: in_force(served) == ["lists"], 1)
    wait_until(lambda: served.readiness()["experiments"]["releases"] == {"r2": None, "r3": None})
    of_arm = {"": "r1", "live": "r1", "second": "r2", "third": "r3"}
    expected = {cookie: experiment.arm_of("lists", cookie) for cookie in COOKIES}
    assert set(expected.values()) == set(of_arm)
    answers = {cookie: served.ask(f"cookie={cookie}&n=1") for cookie in COOKIES}
    assert {cookie: arm_of(answer) for cookie, answer in answers.items()} == expected
    assert {cookie: answer["release"] for cookie, answer in answers.items()} == {
        cookie: of_arm[arm] for cookie, arm in expected.items()
    }
    assert all(ids_of(answer) == [f"of-{answer['release']}"] for answer in answers.values())
    assert "experiments" not in served.ask("n=1")  # without a cookie
    found = wait_until(lambda: len(rows := rows_in(tmp_path)) == len(COOKIES) and rows, WRITTEN_SECONDS)
    assert {(row["cookie_id"], row["arm"], row["release"], row["product_id"]) for row in found} == {
        (cookie, arm or None, of_arm[arm], f"of-{of_arm[arm]}") for cookie, arm in expected.items()
    }
    assert {(row["experiment"], row["forced"], row["policy"], row["propensity"]) for row in found} == {
        ("lists", False, None, 1.0),
        (None, None, None, 1.0),
    }


def test_shares_are_shifted_and_an_experiment_ends_within_a_second(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish_three(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    experiment = running(EQUAL)
    put(server.client(), ab=experiment)
    wait_until(lambda: in_force(served) == ["ab"], 1)
    before = arms_of(served)
    shifted = experiment.with_shares({"a": 0.25, "b": 0.75}, experiment.history[0].since)
    put(server.client(), ab=shifted)
    wait_until(lambda: arms_of(served) == {cookie: shifted.arm_of("ab", cookie) for cookie in COOKIES}, 3)
    after = arms_of(served)
    moved = {(before[cookie], after[cookie]) for cookie in COOKIES if before[cookie] != after[cookie]}
    assert moved == {("a", "b")}
    put(server.client())
    wait_until(lambda: not in_force(served), 1)
    assert set(arms_of(served).values()) == {""}


def test_an_arm_brings_a_scene_of_its_own(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish(server.client(), "r1", personal=PERSONAL, generic=GENERIC)
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    scene = {"routes": ["generic"], "n": 2}
    put(server.client(), short=running({"usual": {"share": 0}, "short": {"share": 1, "scene": scene}}))
    wait_until(lambda: in_force(served) == ["short"])
    assert ids_of(served.ask("cookie=c1")) == ["p10", "p11"]
    assert ids_of(served.ask("cookie=c1&n=3")) == ["p10", "p11", "p12"]


def test_scenes_and_layers_keep_experiments_apart(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish(server.client(), "r1", generic=GENERIC)
    served = own_endpoint(server.url, scenes='{"home": {"routes": ["generic"]}}')
    served.wait_ready("r1")
    one, other = running(EQUAL, scenes=["home"]), running(EQUAL)
    put(server.client(), one=one, other=other)
    wait_until(lambda: in_force(served) == ["one", "other"])
    assert served.ask("cookie=c1")["experiments"] == [{"experiment": "other", "arm": other.arm_of("other", "c1")}]
    assert served.ask("cookie=c1&scene=home")["experiments"] == [
        {"experiment": "one", "arm": one.arm_of("one", "c1")},
        {"experiment": "other", "arm": other.arm_of("other", "c1")},
    ]


def test_only_a_caller_with_the_right_key_forces_an_arm(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    server = own_redis()
    publish_three(server.client())
    keys = f'{{"qa": "{KEY}", "web": "another key, of the web"}}'
    served = own_endpoint(server.url, journey=tmp_path, journey_seconds=1, api_keys=keys, arm_callers='["qa"]')
    served.wait_ready("r1")
    put(server.client(), lists=running({"old": {"share": 1}, "new": {"share": 0, "release": "r2"}}))
    wait_until(lambda: served.readiness()["experiments"]["releases"] == {"r2": None})
    answer = served.ask("cookie=c1&n=1&arm=lists:new", **{"X-API-Key": KEY})
    assert answer["experiments"] == [{"experiment": "lists", "arm": "new", "forced": True}]
    assert ids_of(answer) == ["of-r2"]
    batch = served.client.post(
        "/v1/recommendations:batch",
        json={"requests": [{"cookie": "c2", "arm": "lists:new", "n": 1}, {"arm": "lists:none"}]},
        headers={"X-API-Key": KEY},
    ).json()["responses"]
    assert batch[0]["answer"]["experiments"] == answer["experiments"]
    assert batch[1]["error"]["code"] == "unknown_arm"
    refused = served.client.get("/v1/recommendations?arm=lists:new", headers={"X-API-Key": "another key, of the web"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    unknown = served.client.get("/v1/recommendations?arm=lists:old2", headers={"X-API-Key": KEY})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_arm")
    assert "lists:old, lists:new" in unknown.json()["error"]["message"]
    found = wait_until(lambda: len(rows := rows_in(tmp_path)) == 2 and rows, WRITTEN_SECONDS)
    told = [(row["cookie_id"], row["arm"], row["forced"]) for row in found]
    assert told == [("c1", "new", True), ("c2", "new", True)]


def test_every_visitor_keeps_the_arm_while_redis_is_lost_and_an_endpoint_restarts(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    server = own_redis()
    publish_three(server.client())
    experiment = running({"old": {"share": 0.5}, "new": {"share": 0.5, "release": "r2"}})
    expected = {cookie: experiment.arm_of("lists", cookie) for cookie in COOKIES}
    put(server.client(), lists=experiment)
    served = own_endpoint(server.url, snapshot=tmp_path)
    served.wait_ready("r1")
    wait_until(lambda: in_force(served) == ["lists"] and not served.readiness()["experiments"]["releases"]["r2"])
    assert arms_of(served) == expected
    server.client().flushall()
    wait_until(lambda: "not in Redis any more" in (served.readiness()["experiments"]["problem"] or ""))
    assert arms_of(served) == expected
    server.kill()
    wait_until(lambda: not served.readiness()["redis"]["up"])
    answers = {cookie: served.ask(f"cookie={cookie}&n=1") for cookie in COOKIES}
    assert {cookie: arm_of(answer) for cookie, answer in answers.items()} == expected
    again = own_endpoint(server.url, snapshot=tmp_path)
    wait_until(lambda: again.readiness()["ready"] and in_force(again) == ["lists"])
    assert arms_of(again) == expected
    assert "release r2" in again.readiness()["experiments"]["releases"]["r2"]  # not loaded, and said so


def test_what_cannot_be_read_changes_nothing(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_three(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    experiment = running(EQUAL)
    put(server.client(), ab=experiment)
    wait_until(lambda: in_force(served) == ["ab"])
    before = arms_of(served)
    for broken in ("{", '{"format": 2, "running": {}}', '{"format": 1, "running": {"x": 1}}'):
        server.client().set(KEYS.experiments, broken)
        wait_until(lambda: served.readiness()["experiments"]["problem"])
        assert arms_of(served) == before
    put(server.client(), ab=experiment)
    wait_until(lambda: not served.readiness()["experiments"]["problem"])


def test_arms_change_under_load_without_a_wrong_answer(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_three(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    states = [running(EQUAL)]
    states.append(states[0].with_shares({"a": 0.1, "b": 0.9}, states[0].history[0].since))
    allowed = {cookie: {"", *(each.arm_of("ab", cookie) for each in states)} for cookie in COOKIES}
    wrong: list[tuple[str, str]] = []
    asked = 0
    ends = threading.Event()

    def browse() -> None:
        nonlocal asked
        while not ends.is_set():
            for cookie, arm in arms_of(served, COOKIES[:50]).items():
                asked += 1
                if arm not in allowed[cookie]:
                    wrong.append((cookie, arm))

    visitors = threading.Thread(target=browse)
    visitors.start()
    try:
        for _ in range(3):
            for state in states:
                put(server.client(), ab=state)
                wait_until(lambda state=state: arms_of(served) == {c: state.arm_of("ab", c) for c in COOKIES})
            put(server.client())
            wait_until(lambda: not in_force(served))
    finally:
        ends.set()
        visitors.join()
    assert asked > 100
    assert wrong == []


def test_an_experiment_is_in_force_only_within_its_time(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    publish_three(server.client())
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    past, future = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    put(
        server.client(),
        over=running(EQUAL, until=past, layer="one"),
        now=running(EQUAL, **{"from": past, "until": future}),
        later=running(EQUAL, **{"from": future}),
    )
    wait_until(lambda: in_force(served) == ["now"])


def test_an_endpoint_is_ready_only_with_the_releases_of_its_arms(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint
) -> None:
    server = own_redis()
    publish_three(server.client())
    put(server.client(), lists=running({"all": {"share": 1, "release": "r2"}}))
    for _ in range(3):
        served = own_endpoint(server.url)
        wait_until(lambda served=served: served.readiness()["ready"])
        assert served.ask("cookie=c1&n=1")["release"] == "r2"
