"""Synthetic logs: the same arguments give the same bytes, and the rows agree with the truth that is written beside
them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo import synthetic, synthetic_parts
from demo.synthetic_parts import CLEAN, COPY, Parts
from demo.synthetic_shape import BOT_FACTOR, DIRT, DIRT_OF_TEXT, EVENT_TYPES, Shape

HOUR = 498_656  # 2026-11-20T08
SMALL = ["--rows", "20000", "--products", "500", "--tastes", "5", "--bots", "0.2", "--dirt", "0.05", "--exact"]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an hour consist of many parts without many rows."""
    monkeypatch.setattr(synthetic_parts, "PART_ROWS", 6_000)


def log(folder: Path, *more: str) -> Path:
    synthetic.main([*SMALL, "--to", str(folder), "--rows-a-file", "7000", *more])
    return folder


def truth_of(folder: Path, hour: str = "08") -> dict[str, Any]:
    return json.loads((folder / f"truth/dt=2026-11-20/hr={hour}/hour.json").read_text())


def events_of(folder: Path, hour: str = "08") -> pa.Table:
    return ds.dataset(folder / f"events/dt=2026-11-20/hr={hour}", exclude_invalid_files=True).to_table()


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_parts, "PART_ROWS", 6_000)
        return log(tmp_path_factory.mktemp("synthetic"), "--hours", "2")


def test_the_same_arguments_give_the_same_bytes(parquet: Path, tmp_path: Path) -> None:
    again = log(tmp_path, "--hours", "2", "--rows-a-file", "3000")  # leaves more files behind than the next one
    assert digests(log(again, "--hours", "2")) == digests(parquet)


def test_an_hour_is_the_same_in_whatever_window(parquet: Path, tmp_path: Path) -> None:
    alone = log(tmp_path, "--start", "2026-11-20T09")
    assert events_of(alone, "09").equals(events_of(parquet, "09"))


def test_another_seed_gives_other_events_alone(parquet: Path, tmp_path: Path) -> None:
    other = log(tmp_path, "--seed", "1")
    assert not set(events_of(other)["event_id"].to_pylist()) & set(events_of(parquet)["event_id"].to_pylist())
    assert truth_of(other)["quarantined"] == truth_of(parquet)["quarantined"]


@settings(max_examples=30, deadline=None)
@given(
    # Of 35 to 39 rows there is one cookie, which could have as many events as a bot: such a shape is refused.
    rows=st.integers(0, 30_000).filter(lambda rows: rows not in range(35, 40)),
    late=st.sampled_from([0.0, 0.1]),
    duplicates=st.sampled_from([0.0, 0.05]),
    dirt=st.sampled_from([0.0, 0.2]),
    bots=st.sampled_from([0.0, 0.4]),
    format_=st.sampled_from(["parquet", "json"]),
    hour=st.integers(HOUR, HOUR + 23),
)
def test_every_row_is_of_one_sort_and_as_many_as_planned(
    rows: int, late: float, duplicates: float, dirt: float, bots: float, format_: Any, hour: int
) -> None:
    shape = Shape(rows, late=late, duplicates=duplicates, dirt=dirt, bots=bots, format=format_, products=300)
    plan, parts = shape.plan(hour), list(Parts(shape).hour(shape.plan(hour)))
    kinds = Counter(int(kind) for part in parts for array in part.kinds for kind in array)
    expected = {COPY: plan.duplicates, CLEAN: plan.rows - plan.duplicates - sum(plan.dirty)}
    expected |= dict(enumerate(plan.dirty))
    assert kinds == Counter({kind: count for kind, count in expected.items() if count})
    assert sum(part.late for part in parts) == plan.late
    assert sum(batch.num_rows for part in parts for batch in part.batches) == plan.rows


def test_the_truth_adds_up(parquet: Path) -> None:
    for hour in ("08", "09"):
        truth = truth_of(parquet, hour)
        events = sum(truth["events"].values())
        assert truth["rows"] == events + sum(truth["quarantined"].values()) + truth["duplicates"]
        assert truth["rows"] == events_of(parquet, hour).num_rows
        assert truth["files"] == len(list((parquet / f"events/dt=2026-11-20/hr={hour}").glob("*.parquet")))
        assert set(truth["quarantined"]) == set(DIRT.values())
        counts = pq.read_table(parquet / f"truth/dt=2026-11-20/hr={hour}/counts.parquet")
        for type_, name in zip(EVENT_TYPES, ("impressions", "views", "add_to_carts", "purchases"), strict=True):
            assert pc.sum(counts[name]).as_py() == truth["events"][type_]
            assert pc.sum(counts.filter(counts["is_bot"])[name]).as_py() == truth["bot_events"][type_]
        assert pc.sum(counts["quantity"]).as_py() == truth["units"]
        assert pc.sum(counts["duplicates"]).as_py() == truth["duplicates"]


def test_bots_are_far_above_the_limit_and_people_below(parquet: Path) -> None:
    truth = truth_of(parquet)
    assert len(truth["bots"]) == 1
    assert all(count == BOT_FACTOR * 1000 for count in truth["bots"].values())
    assert truth["busiest_person"] < 1000
    rows = Counter(events_of(parquet)["cookie_id"].to_pylist())
    assert {cookie: rows[cookie] for cookie in truth["bots"]} == truth["bots"]


def test_copies_are_whole_and_lie_in_other_files_too(parquet: Path) -> None:
    files = sorted((parquet / "events/dt=2026-11-20/hr=08").glob("*.parquet"))
    ids = [pq.read_table(file)["event_id"].to_pylist() for file in files]
    every = [id_ for of_file in ids for id_ in of_file]
    assert len(every) - len(set(every)) == truth_of(parquet)["duplicates"]
    assert sum(map(len, ids)) > sum(len(set(of_file)) for of_file in ids) > len(set(every))
    assert events_of(parquet).group_by("event_id").aggregate([]).num_rows == len(set(every))
    assert events_of(parquet).group_by(events_of(parquet).column_names).aggregate([]).num_rows == len(set(every))


def test_people_stay_with_their_taste(parquet: Path) -> None:
    """Most products that people see are of their own taste; for bots it is one in five, as by chance."""
    people = pq.read_table(parquet / "truth/people.parquet").select(["cookie_id", "taste", "is_bot"])
    products = pq.read_table(parquet / "truth/products.parquet").rename_columns(["product_id", "taste_of_product"])
    seen = events_of(parquet).select(["cookie_id", "product_id"]).join(people, "cookie_id", join_type="inner")
    seen = seen.join(products, "product_id", join_type="inner")
    own = pc.equal(seen["taste"], seen["taste_of_product"])
    assert pc.mean(own.filter(pc.invert(seen["is_bot"]))).as_py() > 0.8
    assert pc.mean(own.filter(seen["is_bot"])).as_py() == pytest.approx(0.2, abs=0.01)


def test_days_have_a_rhythm_and_devices_an_appetite() -> None:
    shape = Shape(200_000, swing=0.5, products=300)
    assert [shape.plan(HOUR + after).rows for after in (0, 6, 18)] == [200_000, 300_000, 100_000]
    batch = pa.Table.from_batches([next(Parts(shape).hour(shape.plan(HOUR))).batches[0]])
    bought = batch.filter(pc.is_in(batch["event_type"].cast("string"), pa.array(["add_to_cart", "purchase"])))
    share = {
        device: bought["device"].to_pylist().count(device) / batch["device"].to_pylist().count(device)
        for device in ("mobile", "app")
    }
    assert share["app"] > 1.5 * share["mobile"]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_json_lines_hold_the_same_and_dirt_that_only_text_can_hold(tmp_path: Path, compression: str) -> None:
    log(tmp_path, "--format", "json", "--compression", compression, "--rows-a-file", "1e6")
    [file] = (tmp_path / "events/dt=2026-11-20/hr=08").glob("part-*")
    with pa.input_stream(str(file)) as stream:
        lines = stream.read().decode().splitlines()
    truth = truth_of(tmp_path)
    assert len(lines) == truth["rows"]
    parsed = [_parsed(line) for line in lines]
    assert sum(row is None for row in parsed) == truth["quarantined"]["malformed_row"]
    assert set(truth["quarantined"]) == {*DIRT.values(), *DIRT_OF_TEXT.values()}
    assert sum(row is not None and row["ts"] == "yesterday" for row in parsed) == truth["quarantined"]["bad_type:ts"]
    hour = [row for row in parsed if row and str(row["ts"]).startswith("2026-11-20T08:")]
    assert len(hour) > 0.9 * len(lines)
    if compression == "gzip":
        assert gzip.decompress(file.read_bytes()).count(b"\n") == len(lines)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def test_without_ids_nothing_is_a_duplicate(tmp_path: Path) -> None:
    log(tmp_path, "--no-event-ids", "--session-ids")
    assert truth_of(tmp_path)["duplicates"] == 0
    assert "event_id" not in events_of(tmp_path).column_names
    assert "session_id" in events_of(tmp_path).column_names


@pytest.mark.parametrize(("option", "said"), [("--cookies", "more cookies"), ("--late", "shares")])
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, option: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        log(tmp_path, option, "1")
