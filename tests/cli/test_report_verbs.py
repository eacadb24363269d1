"""`larder report routes` on events whose ids and folders are written in other ways than the log's."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from larder.cli.main import app
from larder.journey.click_through import Z_95

HOUR = "2026-11-21T05"
REQUESTS = ("2026-11-21T05:00:00", "r2", "r3")


@pytest.mark.parametrize("kind", ["json", "parquet"])
@pytest.mark.parametrize("layout", ["dt=%Y-%m-%d/hr=%H", "%Y/%m/%d/%H"])
def test_clicks_are_found_by_ids_of_any_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, layout: str
) -> None:
    log = tmp_path / "log" / "dt=2026-11-21" / "hr=05"
    events = tmp_path / "events" / datetime(2026, 11, 21, 5).strftime(layout)
    for folder in (log, events):
        folder.mkdir(parents=True)
    served = {"request_id": REQUESTS, "product_id": ["1001"] * 3, "release": ["r"] * 3, "route": ["personal"] * 3}
    served["cookie_id"] = ["c1", "c2", "c3"]
    pq.write_table(pa.table(served), log / "served.parquet")
    if kind == "json":  # an id that looks like a time, and one that is a number
        lines = [f'{{"rid": "{REQUESTS[0]}", "product_id": 1001, "event_type": "view"}}']
        lines += ['{"rid": "r2", "product_id": "1001", "event_type": "purchase"}', '{"event_type": "view"}']
        (events / "clicks.json").write_text("\n".join(lines))
    else:
        clicks = {"rid": REQUESTS[:2], "product_id": [1001.0, 1001.0], "event_type": ["view", "purchase"]}
        pq.write_table(pa.table(clicks), events / "clicks.parquet")
    (tmp_path / "larder.toml").write_text(
        f'[storage]\nevents = "{tmp_path}/events"\n[lookup]\njourney = "{tmp_path}/log"\n'
        f'[events]\nformat = "{kind}"\nlayout = "{layout}"\ncolumns = {{ request_id = "rid" }}\n'
    )
    monkeypatch.setenv("COLUMNS", "40")
    flags = ["--start", HOUR, "--end", "2026-11-21T06", "--within", "0", "--settings", str(tmp_path / "larder.toml")]
    done = CliRunner().invoke(app, ["report", "routes", *flags])
    assert done.exit_code == 0, done.output
    [personal] = [line.split() for line in done.output.splitlines() if "personal" in line]
    # Two of three cookies click, one of three buys: the residuals' squares sum to 2/3 either way, and
    # 3 / 2 * (2 / 3) / 3^2 is (1 / 3)^2.
    clicked, bought = ["66.67%", f"{2 / 3 - Z_95 / 3:.2%}", "100.00%"], ["33.333%", "0.000%", f"{1 / 3 + Z_95 / 3:.3%}"]
    assert personal == ["r", "personal", "3", "2", "0", "1", *clicked, *bought]
