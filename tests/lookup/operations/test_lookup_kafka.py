"""The journey log in a real Kafka: it says what was served; a broker that is gone costs messages, never an answer."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from kafka_broker import Broker
from lookup_servers import Endpoint, RedisServer, wait_until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Slow: the first of them fetches Kafka.
pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

MakeEndpoint = Callable[..., Endpoint]
TOPIC = "larder.impressions"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Runs, and is not killed."""
    made = Broker(tmp_path_factory.mktemp("kafka"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Not started yet."""
    (tmp_path / "kafka").mkdir()
    made = Broker(tmp_path / "kafka")
    yield made
    made.kill()


def counted(served: Endpoint, series: str) -> float:
    text = served.client.get("/metrics").text
    return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(series)))


def delivered(served: Endpoint) -> float:
    return counted(served, "larder_lookup_journey_delivered_total")


def dropped(served: Endpoint) -> float:
    return counted(served, 'larder_lookup_journey_dropped_total{reason="kafka"}')


def asked_for(served: Endpoint, seconds: float) -> int:
    """Asks without a pause, for so long; returns how many answers came."""
    end, answers = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        assert served.ask("cookie=c1&n=4")["items"]
        answers += 1
        time.sleep(0.005)
    return answers


def warnings_in(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if "journey log" in line]


def test_what_was_served_arrives_as_it_was_and_in_order(
    broker: Broker, redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    topic = "in.order"
    served = own_endpoint(redis_server.url, kafka=broker.servers, kafka_topic=topic, journey=tmp_path)
    served.wait_ready("r1")
    cookies = ["c1", "käse", 'a "quoted"\none']
    answers = {
        cookie: [served.client.get("/v1/recommendations", params={"cookie": cookie, "n": 4}).json() for _ in range(20)]
        for cookie in cookies
    }
    served.ask("location=zone1")
    wait_until(lambda: delivered(served) == 60)
    assert dropped(served) == 0
    assert served.stop() == 0
    found = broker.messages(topic)
    for cookie, cookie_replies in answers.items():
        assert len({partition for partition, key, _ in found if key == cookie}) == 1
        assert [
            (row["request_id"], row["position"], row["product_id"], row["route"], row["cookie_id"])
            for _, key, row in found
            if key == cookie
        ] == [
            (answer["request_id"], position, item["id"], item["route"], cookie)
            for answer in cookie_replies
            for position, item in enumerate(answer["items"])
        ]
    logged = [row for path in tmp_path.glob("*/*/*") for row in pq.read_table(path, partitioning=None).to_pylist()]
    assert by_place({**row, "ts": row["ts"].isoformat()} for row in logged) == by_place(
        {**row, "ts": datetime.fromisoformat(row["ts"].replace("Z", "+00:00")).isoformat()} for _, _, row in found
    )


def by_place(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in their order; scores as float32, as which JSON has them with fewer digits."""
    with_scores = [{**row, "score": row["score"] and np.float32(row["score"])} for row in rows]
    return sorted(with_scores, key=lambda row: (row["request_id"], row["position"]))


def test_a_stop_sends_what_is_left(broker: Broker, redis_server: RedisServer, own_endpoint: MakeEndpoint) -> None:
    served = own_endpoint(redis_server.url, kafka=broker.servers, kafka_topic="at.the.end", workers=2)
    served.wait_ready("r1")
    for _ in range(5):
        served.ask("cookie=c1&n=3")
    assert served.stop() == 0
    assert len(broker.messages("at.the.end")) == 15


def test_a_broker_may_come_later(
    own_broker: Broker, redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    options = json.dumps({"sasl.password": "hunter2"})
    served = own_endpoint(
        redis_server.url, kafka=own_broker.servers, kafka_options=options, journey=tmp_path / "events", log=log
    )
    served.wait_ready("r1")
    answers = asked_for(served, 3)
    assert (delivered(served), dropped(served)) == (0, 0)
    refused = re.compile("Kafka's topic larder.impressions: .*(refused|down)")
    wait_until(lambda: any(map(refused.search, warnings_in(log))), 60)
    own_broker.start()
    wait_until(lambda: delivered(served) == answers, 60)
    assert served.stop() == 0
    assert len(own_broker.messages(TOPIC)) == 4 * answers
    assert sum(pq.read_table(path, partitioning=None).num_rows for path in tmp_path.glob("events/*/*/*")) == 4 * answers
    assert len(warnings_in(log)) <= 3
    assert "hunter2" not in log.read_text()
    assert "rdkafka#" not in log.read_text()


def test_a_broker_that_is_killed_costs_messages_and_no_answer(
    own_broker: Broker, redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    own_broker.start()
    log = tmp_path / "log"
    options = json.dumps({"message.timeout.ms": "2000", "queue.buffering.max.messages": "400"})
    served = own_endpoint(
        redis_server.url, kafka=own_broker.servers, kafka_options=options, journey=tmp_path / "events", log=log
    )
    served.wait_ready("r1")
    answers = asked_for(served, 1)
    wait_until(lambda: delivered(served) == answers)
    own_broker.kill()
    answers += asked_for(served, 5)
    wait_until(lambda: dropped(served) > 100)
    own_broker.start()
    # What came while nobody was there is lost by now, or arrives late.
    wait_until(lambda: delivered(served) + dropped(served) == answers, 30)
    before = delivered(served)
    while delivered(served) < before + 50:
        answers += asked_for(served, 0.5)
    wait_until(lambda: delivered(served) + dropped(served) == answers, 30)
    sent, lost = delivered(served), dropped(served)
    assert served.stop() == 0
    found = own_broker.messages(TOPIC)
    shown = Counter(row["request_id"] for _, _, row in found)
    # Of a lost answer some messages may have arrived.
    assert sent <= sum(count == 4 for count in shown.values()) <= len(shown) <= sent + lost
    # Nothing twice, and in order.
    moments = [row["ts"] for _, _, row in found]
    assert len(found) == len({(row["request_id"], row["position"]) for _, _, row in found})
    assert moments == sorted(moments)
    assert sum(pq.read_table(path, partitioning=None).num_rows for path in tmp_path.glob("events/*/*/*")) == 4 * answers
    assert len(warnings_in(log)) < 8


def test_a_broker_that_stays_away_does_not_keep_the_endpoint_from_its_end(
    redis_server: RedisServer, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    served = own_endpoint(redis_server.url, kafka="127.0.0.1:1", journey=tmp_path)
    served.wait_ready("r1")
    served.ask("cookie=c1")
    assert served.stop() == 0
    assert list(tmp_path.glob("*/*/served-*.parquet"))


def test_messages_as_json_lines_go_through_the_hourly_aggregation(
    spark: SparkSession,
    broker: Broker,
    redis_server: RedisServer,
    own_endpoint: MakeEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from larder.jobs import aggregate_hours
    from larder.models.hours import as_text

    served = own_endpoint(redis_server.url, kafka=broker.servers, kafka_topic="to.be.counted")
    served.wait_ready("r1")
    answers = [served.ask(f"cookie=c1&n=4&location={place}") for place in ("", "zone1") for _ in range(5)]
    served.stop()
    hour = int(time.time() // 3600)
    written = tmp_path / "events" / f"dt={datetime.now(timezone.utc):%Y-%m-%d}" / f"hr={datetime.now(timezone.utc):%H}"
    written.mkdir(parents=True)
    rows = [row for _, _, row in broker.messages("to.be.counted")]
    (written / "topic+0+0.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("LARDER_STORAGE__EVENTS", str(tmp_path / "events"))
    monkeypatch.setenv("LARDER_STORAGE__TABLES", str(tmp_path / "tables"))
    monkeypatch.setenv("LARDER_EVENTS__FORMAT", "json")
    window = ["--start", as_text(hour - 1), "--end", as_text(hour + 1)]
    report = aggregate_hours.run(spark, aggregate_hours.parse_arguments(window))
    assert report.rows_in == report.rows_out == sum(len(answer["items"]) for answer in answers)
