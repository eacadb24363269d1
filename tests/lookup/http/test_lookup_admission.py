"""Who is let in, and who is told to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from certificates import Certificates
from hypothesis import given
from hypothesis import strategies as st
from lookup_servers import Endpoint, RedisServer, ids_of, publish_usual, wait_until
from repository import ROOT

from larder.lookup.http.admission import SAMPLES, Admission, LoopDelay
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.shared_token_bucket import SharedTokenBucket
from larder.lookup.http.token_bucket import TokenBucket
from larder.lookup.operations.serve import ServeError, serve
from larder.lookup.redis.circuit_breaker import CircuitBreaker
from larder.settings import LookupSettings, RedisSettings, Settings, SettingsError, load_settings

WEB, MAIL = "web-0123456789abcdef", "mail-0123456789abcdef"
MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 30)), max_size=60), st.floats(1, 50))
def test_an_allowance_never_gives_more_than_its_rate(steps: list[tuple[float, int]], rate: float) -> None:
    allowance, now, picked, largest = TokenBucket(rate), 100.0, 0, 0
    for pause, questions in steps:
        now += pause
        if not allowance.take(questions, now):
            picked += questions
            largest = max(largest, questions)
    # A second's worth at the start, and a batch larger than that on credit.
    assert picked <= rate * (now - 100 + 1) + largest + 1e-6


def test_a_refused_caller_is_told_when_to_come_back() -> None:
    allowance = TokenBucket(10)
    assert allowance.take(10, 5.0) == 0
    wait = allowance.take(5, 5.0)
    assert wait == pytest.approx(0.5)
    assert allowance.take(5, 5.0 + wait) == 0


def test_a_breaker_opens_tries_and_closes() -> None:
    breaker = CircuitBreaker(2, 1.0)
    breaker.failed(10.0)
    assert breaker.allows(10.0)
    breaker.failed(10.0)
    assert breaker.open
    assert not breaker.allows(10.9)
    # One question tries, the others still wait.
    assert breaker.allows(11.1)
    assert not breaker.allows(11.2)
    breaker.failed(11.3)
    assert not breaker.allows(12.2)
    assert breaker.allows(12.4)
    breaker.succeeded()
    assert not breaker.open
    assert breaker.allows(12.4)


def test_a_loop_that_is_late_for_long_is_overloaded_and_a_hiccup_is_not() -> None:
    async def run() -> None:
        delay = LoopDelay()
        admission = Admission(LookupSettings(shed_ms=20), delay)
        watch = asyncio.create_task(delay.watch())
        await asyncio.sleep(0.05)
        time.sleep(0.1)
        await asyncio.sleep(0.03)
        admission.check_load()
        for _ in range(2 * SAMPLES):
            time.sleep(0.05)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(BadRequestError) as refused:
            admission.check_load()
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        await asyncio.sleep(0.1)
        admission.check_load()
        watch.cancel()

    asyncio.run(run())


def test_a_short_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__API_KEYS", '{"web": "tooshort"}')
    with pytest.raises(SettingsError, match=r"lookup\.api_keys\.web") as told:
        load_settings()
    assert "tooshort" not in str(told.value)


def test_a_certificate_that_is_none_stops_at_start(tmp_path: Path) -> None:
    lookup = LookupSettings(tls_certificate=str(tmp_path / "none.pem"))
    with pytest.raises(ServeError, match="both"):
        serve(Settings(redis=RedisSettings(url="redis://127.0.0.1"), lookup=lookup))
    lookup = LookupSettings(tls_certificate=str(tmp_path / "none.pem"), tls_key=str(tmp_path / "none.pem"))
    with pytest.raises(ServeError, match=r"lookup\.tls_certificate"):
        serve(Settings(redis=RedisSettings(url="redis://127.0.0.1"), lookup=lookup))


@pytest.mark.end_to_end
def test_only_callers_with_a_key_are_answered(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__API_KEYS", f'{{"web": "{WEB}", "mail": "{MAIL}"}}')
    served = own_endpoint(redis_server.url, key_rate=2)
    served.wait_ready("r1")
    path = "/v1/recommendations"
    for wrong in ({}, {"X-API-Key": ""}, {"X-API-Key": WEB + "x"}, {"X-API-Key": WEB[:-1]}):
        refused = served.client.get(path, headers=wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorised")
    assert served.client.post(f"{path}:batch", json={"requests": []}).status_code == 401
    assert served.client.get(path, headers={"X-API-Key": MAIL}).status_code == 200

    statuses = [served.client.get(path, headers={"X-API-Key": WEB}) for _ in range(60)]
    limited = [each for each in statuses if each.status_code == 429]
    assert limited
    assert int(limited[0].headers["retry-after"]) >= 1
    # The other key has an allowance of its own.
    assert served.client.get(path, headers={"X-API-Key": MAIL}).status_code == 200
    assert WEB not in served.client.get("/metrics").text


@pytest.mark.end_to_end
def test_https(redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    files = {"tls_certificate": made.certificate, "tls_key": made.key}
    served = own_endpoint(redis_server.url, verify=str(made.authority), **files)
    served.wait_ready("r1")
    assert served.url.startswith("https://")
    assert ids_of(served.ask("cookie=c1&n=1")) == ["p3"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.url)


@pytest.mark.end_to_end
def test_a_user_that_may_only_read_is_enough(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    manual = (ROOT / "docs" / "lookup.md").read_text()
    [line] = [line for line in manual.splitlines() if line.startswith("ACL SETUSER")]
    server = own_redis()
    publish_usual(server.client())
    server.client().execute_command(*line.replace("PASSWORD", "secret").split())
    served = own_endpoint(f"redis://lookup:secret@127.0.0.1:{server.port}")
    served.wait_ready("r1")
    server.client().hset("larder:masks", mapping={"p3": "withdrawn", "": "1"})
    wait_until(lambda: ids_of(served.ask("cookie=c1&n=1")) == ["p8"])
    with pytest.raises(Exception, match=r"(?i)permission"):
        server.client(username="lookup", password="secret").set("larder:x", 1)
    assert "larder_lookup_seen_unknown_total 0\n" in served.client.get("/metrics").text


@given(
    rate=st.floats(0.5, 100),
    asked=st.lists(st.tuples(st.integers(0, 1), st.floats(0, 2), st.integers(0, 300)), max_size=60),
)
def test_workers_share_the_rate_of_a_key(
    tmp_path_factory: pytest.TempPathFactory, rate: float, asked: list[tuple[int, float, int]]
) -> None:
    path = tmp_path_factory.mktemp("rates") / "rate-0"
    workers = [SharedTokenBucket(path, rate) for _ in range(2)]
    alone = TokenBucket(rate)
    now = time.monotonic()
    alone.take(0, now)
    for worker, pause, queries in asked:
        now += pause
        assert workers[worker].take(queries, now) == pytest.approx(alone.take(queries, now), abs=1e-2)


@pytest.mark.end_to_end
def test_the_rate_of_a_key_holds_for_all_workers_and_for_one_connection(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__API_KEYS", f'{{"web": "{WEB}", "mail": "{MAIL}"}}')
    rate = 20
    served = own_endpoint(redis_server.url, workers=3, key_rate=rate)
    served.wait_ready("r1")
    path = "/v1/recommendations"
    # One connection reaches one worker, and may still use all of the rate.
    statuses = [served.client.get(path, headers={"X-API-Key": WEB}).status_code for _ in range(rate)]
    assert statuses == [200] * rate
    # A batch counts its queries, for all workers: once it is admitted, others wait until it is paid for.
    batch = {"requests": [{}] * 1000}
    assert served.client.post(f"{path}:batch", headers={"X-API-Key": MAIL}, json=batch).status_code == 200
    limited = [httpx.get(f"{served.url}{path}", headers={"X-API-Key": MAIL}) for _ in range(12)]
    assert {each.status_code for each in limited} == {429}


@pytest.mark.end_to_end
def test_metrics_and_explanations_may_be_for_some_callers(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__API_KEYS", f'{{"web": "{WEB}", "mail": "{MAIL}"}}')
    some = {"explain_callers": '["mail"]', "metrics_callers": '["mail"]'}
    for settings, allowed in (({}, True), (some, False)):
        served = own_endpoint(redis_server.url, **settings)
        served.wait_ready("r1")

        def status(method: str, path: str, key: str, served: Endpoint = served, **more: object) -> int:
            headers = {"X-API-Key": key} if key else {}
            return served.client.request(method, path, headers=headers, **more).status_code  # type: ignore[arg-type]

        explained = {"json": {"requests": [{"explain": True}]}}
        assert status("GET", "/metrics", MAIL) == 200
        assert status("GET", "/metrics", "") == (200 if allowed else 401)
        assert status("GET", "/metrics", WEB) == (200 if allowed else 403)
        assert status("GET", "/v1/recommendations?explain=1", WEB) == (200 if allowed else 403)
        assert status("POST", "/v1/recommendations:batch", WEB, **explained) == (200 if allowed else 403)
        assert status("GET", "/v1/recommendations?explain=1", MAIL) == 200
        assert status("POST", "/v1/recommendations:batch", MAIL, **explained) == 200
        assert status("GET", "/v1/recommendations?explain=0", WEB) == 200
        assert status("GET", "/health/ready", "") == 200


def test_callers_without_a_key_are_refused_in_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__METRICS_CALLERS", '["nobody"]')
    with pytest.raises(SettingsError, match="metrics_callers names callers without a key in api_keys: nobody"):
        load_settings()
