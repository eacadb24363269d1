"""Simulated visitors at a real endpoint: the log and the events, joined, agree with the planted truth of each arm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from experiments_in_redis import put, running
from lookup_servers import Endpoint, RedisServer, publish, ranked, wait_until
from ports import free_port

from demo.played_visits import NoAnswerError, Play, hours_of, write_visits
from demo.simulated_visitors import Behaviour, Visitor

pytestmark = pytest.mark.end_to_end

NAME, KEY = "lists", "the key of an operator"
VISITORS = 1000
BEHAVIOUR = Behaviour(shown=4, eta=0.5, buys=0.5)
LIKED = [f"liked-{place}" for place in range(4)]
OTHERS = [f"other-{place}" for place in range(4)]
RELEVANCE = {product: 0.6 for product in LIKED}
OTHER_RELEVANCE = 0.1


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the journey log."""
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Play]:
    """Visitors that like what release r2 shows, at an endpoint where r1 is live and half of them get r2."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    publish(server.client(), "r2", generic={("", ""): ranked(*LIKED)})
    publish(server.client(), "r1", generic={("", ""): ranked(*OTHERS)})
    put(server.client(), **{NAME: running({"old": {"share": 0.5}, "new": {"share": 0.5, "release": "r2"}})})
    callers = {"api_keys": f'{{"demo": "{KEY}"}}', "arm_callers": '["demo"]'}
    served = Endpoint(server.url, journey=log, journey_seconds=1, **callers)
    wait_until(lambda: served.readiness()["ready"])
    visitors = [Visitor(f"visitor-{number}", RELEVANCE, OTHER_RELEVANCE) for number in range(VISITORS)]
    yield Play(served.url, NAME, visitors, BEHAVIOUR, {}, seed=7, api_key=KEY)
    served.stop()
    server.kill()


def test_log_and_events_agree_with_the_truth(play: Play, log: Path, tmp_path: Path) -> None:
    begun = time.time_ns() // 1000
    events, truth = play.run()
    write_visits(tmp_path / "events", events, hours_of(events, begun))
    visits, impressions = int(play.visits().sum()), int(play.visits().sum()) * BEHAVIOUR.shown
    assert visits > 2 * VISITORS
    wait_until(lambda: len(impressions_in(log)) == impressions)
    joined = impressions_in(log).merge(followed(tmp_path / "events"), "left", ["request_id", "product_id"])
    assert (joined.first_event.isna() | (joined.first_event > joined.ts)).all()
    for arm, products, relevance in (("old", OTHERS, OTHER_RELEVANCE), ("new", LIKED, 0.6)):
        shown, expected = joined[joined.arm == arm], truth.arms[arm]
        assert set(shown.product_id) == set(products)
        assert set(shown.cookie_id) == expected.cookies
        assert len(shown) == expected.impressions == BEHAVIOUR.shown * expected.answers
        # Every list is alike, so that expectations are those of one list.
        of_a_list = relevance * sum((1 + place) ** -0.5 for place in range(BEHAVIOUR.shown))
        assert expected.clicks == pytest.approx(expected.answers * of_a_list)
        metrics, errors = expected.metrics(), expected.standard_errors()
        assert abs(shown.view.sum() / len(shown) - metrics["click_through"]) < 4 * errors["click_through"]
        purchases = shown.purchase.sum() / len(expected.cookies)
        assert abs(purchases - metrics["purchase"]) < 4 * errors["purchase"]
    assert truth.arms.keys() == {"old", "new"}


def test_a_play_again_gives_the_same_events_at_other_times(play: Play) -> None:
    again = replace(play, seed=8, visitors=play.visitors[:200])
    first, second = again.run()[0], again.run()[0]
    assert first.drop_columns("ts") == second.drop_columns("ts")


def test_everybody_is_in_every_arm_by_force(play: Play) -> None:
    visits, found = play.visits().sum(), play.everybody_in(["old", "new"]).arms
    of_a_visit = sum((1 + place) ** -0.5 for place in range(BEHAVIOUR.shown))
    assert {arm: each.clicks for arm, each in found.items()} == pytest.approx(
        {"old": visits * of_a_visit * OTHER_RELEVANCE, "new": visits * of_a_visit * 0.6}
    )
    assert {len(each.cookies) for each in found.values()} == {VISITORS}


def test_no_answer_ends_the_play(play: Play) -> None:
    with pytest.raises(NoAnswerError, match="no answer from http"):
        replace(play, url=f"http://127.0.0.1:{free_port()}").run()


def impressions_in(folder: Path) -> pd.DataFrame:
    """Returns the impressions of the play with seed 7 that are in the log so far."""
    files = sorted(folder.glob("dt=*/hr=*/[!_]*.parquet"))
    names = ["ts", "cookie_id", "request_id", "product_id", "arm"]
    tables = [pq.read_table(file, columns=names, partitioning=None).to_pandas() for file in files]
    rows = pd.concat([pd.DataFrame(columns=names, dtype=str), *tables])
    return rows[rows.request_id.str.startswith("visits-7-")]


def followed(folder: Path) -> pd.DataFrame:
    """Returns the first event and the number of views and purchases of each product of an answer that has any."""
    events = ds.dataset(folder, format="parquet").to_table().to_pandas()
    counts = events.assign(view=events.event_type == "view", purchase=events.event_type == "purchase")
    return counts.groupby(["request_id", "product_id"], as_index=False).agg(
        first_event=("ts", "min"), view=("view", "sum"), purchase=("purchase", "sum")
    )
