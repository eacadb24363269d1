"""Computes the sums of an experiment's report with DuckDB: python -m bench.duckdb_experiment ARGUMENTS_AS_JSON.

They are those of the standard metrics over the cookies of each arm, of all and by location and device. It validates no
event. It prints the seconds, and a line of JSON with a row for each arm, segment and metric.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import duckdb

from bench.process_memory import Watched, watched

# A product that was shown twice in a request would count twice here; the bench's log has none.
QUERY = """
create temp table served as
    select cookie_id, request_id, product_id, ts, location, device,
        string_split(arm, ',')[list_position(string_split(experiment, ','), $name)] as arm
    from read_parquet($log, hive_partitioning = false)
    where event_type = 'impression' and not coalesce(forced, false)
        and list_contains(string_split(experiment, ','), $name);
create temp table units as
    select cookie_id, arg_min(arm, since) as arm, arg_min(location, since) as location,
        arg_min(device, since) as device, arg_min(impressions, since) as impressions
    from (select cookie_id, arm, min(ts) as since, arg_min(location, ts) as location, arg_min(device, ts) as device,
            count(*) as impressions
        from served group by cookie_id, arm)
    group by cookie_id;
create temp table events as
    select cookie_id, request_id, product_id, event_type, ts, round(price * quantity * 100)::bigint as value
    from read_parquet($events, hive_partitioning = false) where event_type <> 'impression';
create temp table clicks as
    select cookie_id, count(*) as clicks
    from (select distinct cookie_id, request_id, product_id
        from events join served using (cookie_id, request_id, product_id) join units using (cookie_id, arm)
        where events.ts - served.ts <= to_hours($within))
    group by cookie_id;
create temp table orders as
    select cookie_id, count(*) filter (event_type = 'add_to_cart') as carts,
        count(*) filter (event_type = 'purchase') as purchases,
        coalesce(sum(value) filter (event_type = 'purchase'), 0) as revenue
    from events join (select cookie_id, request_id, min(served.ts) as served_at
            from served join units using (cookie_id, arm) group by all) using (cookie_id, request_id)
    where ts - served_at <= to_hours($within) group by cookie_id;
create temp table rows_of_metrics as
    select arm, location, device, unnest([
        {'metric': 'click_through', 'y': coalesce(clicks, 0)::hugeint, 'd': impressions::hugeint},
        {'metric': 'add_to_cart', 'y': coalesce(carts, 0)::hugeint, 'd': 1::hugeint},
        {'metric': 'purchase', 'y': coalesce(purchases, 0)::hugeint, 'd': 1::hugeint},
        {'metric': 'revenue', 'y': coalesce(revenue, 0)::hugeint, 'd': 1::hugeint}], recursive := true)
    from units left join clicks using (cookie_id) left join orders using (cookie_id);
"""
SUMMED = """
select arm, case when grouping(location) = 0 then 'location' when grouping(device) = 0 then 'device' else 'all' end,
    coalesce(location, device, 'all'), metric,
    count(*), sum(y)::varchar, sum(d)::varchar, sum(y * y)::varchar, sum(y * d)::varchar, sum(d * d)::varchar
from rows_of_metrics group by grouping sets ((arm, metric), (arm, metric, location), (arm, metric, device)) order by all
"""


def in_own_process(**arguments: Any) -> tuple[Watched, float, list[list[Any]]]:
    """Returns what the process took, the seconds of the queries alone, and the rows of sums."""
    found = watched([sys.executable, "-m", "bench.duckdb_experiment", json.dumps(arguments, default=str)])
    seconds, rows = found.output.splitlines()[-2:]
    return found, float(seconds), json.loads(rows)


def main() -> None:
    arguments = json.loads(sys.argv[1])
    folder, cores, memory = (arguments[name] for name in ("folder", "cores", "memory"))
    connection = duckdb.connect(f"{folder}/experiment.duckdb")  # tables on disk, as a cookie is a row of them
    connection.execute(f"set threads = {cores}; set preserve_insertion_order = false")
    connection.execute(f"set memory_limit = '{memory}'; set temp_directory = '{folder}/spill'")
    begun = time.perf_counter()
    given = {"name": arguments["name"], "within": arguments["within"]}
    given |= {name: f"{folder}/{name}/*/*/*.parquet" for name in ("log", "events")}
    for query in QUERY.split(";")[:-1]:
        connection.execute(query, {name: value for name, value in given.items() if f"${name}" in query})
    rows = connection.execute(SUMMED).fetchall()
    print(time.perf_counter() - begun)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
