"""A job killed anywhere and run again leaves what one undisturbed run leaves, to the byte."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from event_folders import START, aggregate, visible, write_parquet
from killed_jobs import killed, write_settings
from pyspark.sql import SparkSession
from release_tables import AS_OF, contents, load, write_release

from larder.loaders.embedded import embedded_server
from larder.loaders.releases import Releases
from larder.models.hours import as_text
from larder.settings import Settings, load_settings
from larder.storage import Manifest, Tables

pytestmark = pytest.mark.end_to_end

HOURS = 36
draw = random.Random()  # other moments in every run of the tests


def aggregate_settings(folder: Path, tables: str) -> Path:
    place = folder / tables
    place.mkdir()
    return write_settings(place, storage={"events": str(folder / "events"), "tables": str(place / "tables")})


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a day and a half of events, some of them wrong."""
    folder = tmp_path_factory.mktemp("killed")
    for hour in range(START, START + HOURS):
        rows = [{"cookie_id": f"c{n % 7}", "event_id": f"e{n % 50}", "price": n % 9 - 1.0} for n in range(60)]
        write_parquet(folder, hour, rows)
    return folder


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, events: Path) -> dict[str, str]:
    settings = load_settings(aggregate_settings(events, "undisturbed"))
    aggregate(spark, settings, START, START + HOURS)
    return visible(settings.storage.tables)


def count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def after_first_file(tables: Path) -> Callable[[], bool]:
    """A moment while data are written, none of them visible yet."""
    wanted = draw.randrange(1, HOURS)
    return lambda: count(tables, "hourly_counts/runs/*/*") >= wanted


def after_counts(tables: Path) -> Callable[[], bool]:
    """A moment after the counts, while rejected rows are found and written."""
    delay, seen = draw.uniform(0, 0.5), []

    def is_time() -> bool:
        if not seen and count(tables, "hourly_counts/runs/*/*") == HOURS:
            seen.append(time.monotonic())
        return bool(seen) and time.monotonic() > seen[0] + delay

    return is_time


def among_manifests(tables: Path) -> Callable[[], bool]:
    wanted = draw.randrange(1, 2 * HOURS)
    return lambda: count(tables, "*/manifests/*/*.json") >= wanted


def anywhere(tables: Path) -> Callable[[], bool]:
    """A moment from before the first file to the last manifest but one: a file of rows and three manifests an hour."""
    wanted = draw.randrange(0, 4 * HOURS)
    return lambda: count(tables, "hourly_counts/runs/*/*") + count(tables, "*/manifests/*/*.json") >= wanted


TEN_MORE = [pytest.param(anywhere, marks=pytest.mark.slow, id=f"anywhere_{number}") for number in range(10)]
WHILE_ROWS_ARE_REJECTED = pytest.param(after_counts, marks=pytest.mark.slow)


@pytest.mark.parametrize("moment", [after_first_file, among_manifests, WHILE_ROWS_ARE_REJECTED, *TEN_MORE])
def test_hours_aggregated_again_are_as_if_nothing_had_happened(
    spark: SparkSession,
    events: Path,
    undisturbed: dict[str, str],
    tmp_path: Path,
    moment: Callable[[Path], Callable[[], bool]],
) -> None:
    file = aggregate_settings(events, tmp_path.name)
    settings = load_settings(file)
    tables = Path(settings.storage.tables)
    window = ("--start", as_text(START), "--end", as_text(START + HOURS))
    killed(moment(tables), "aggregate-hours", "--settings", str(file), *window)
    # What is visible is whole already.
    left = visible(settings.storage.tables)
    assert left.items() <= undisturbed.items()
    report = aggregate(spark, settings, START, START + HOURS)
    assert report.details["up_to_date"] == sum(name.startswith("hourly_counts/manifests") for name in left)
    assert visible(settings.storage.tables) == undisturbed
    for path in tables.glob("*/manifests/*/*.json"):
        for uri in Tables(str(tables)).uris([Manifest.from_json(path.read_bytes())]):
            assert Path(uri).exists()


COOKIES = 8000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with embedded_server(tmp_path_factory.mktemp("redis")) as url, redis.Redis.from_url(url) as connected:
        yield connected


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three releases; the first, of more keys than are removed at once, is retired when the last comes."""
    folder = str(tmp_path_factory.mktemp("releases") / "tables")
    settings = Settings(storage={"tables": folder})
    for number, cookies in enumerate((600, 20, COOKIES)):
        write_release(settings, AS_OF + number, seed=number, cookies=cookies)
    return folder


def redis_settings(client: redis.Redis, folder: Path, tables: str, namespace: str) -> Path:
    path = client.connection_pool.connection_kwargs["path"]
    section: dict[str, str | int] = {
        "url": f"unix://{path}",
        "namespace": namespace,
        "keep_releases": 2,
        "bucket_size": 1,  # many keys, so that there is time to be killed in
        "retired_keys_per_second": 250,  # likewise
    }
    return write_settings(folder, storage={"tables": tables}, redis=section)


@pytest.fixture(scope="module")
def undisturbed_release(
    spark: SparkSession, client: redis.Redis, tables: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[bytes, Any]:
    settings = load_settings(redis_settings(client, tmp_path_factory.mktemp("settings"), tables, "undisturbed"))
    for number in range(3):
        load(spark, settings, AS_OF + number)
    return contents(client, "undisturbed")


Moment = Callable[[redis.Redis, Releases, int], bool]


def while_lists_are_written(client: redis.Redis, _: Releases, before: int) -> bool:
    return client.dbsize() > before + COOKIES // 4


def once_it_is_live(client: redis.Redis, releases: Releases, _: int) -> bool:
    live = releases.live().release
    return live is not None and live == releases.all()[-1].name and len(releases.all()) > 2


@pytest.mark.parametrize("moment", [while_lists_are_written, once_it_is_live])
def test_a_release_loaded_again_is_as_if_nothing_had_happened(
    spark: SparkSession,
    client: redis.Redis,
    tables: str,
    tmp_path: Path,
    undisturbed_release: dict[bytes, Any],
    moment: Moment,
) -> None:
    namespace = moment.__name__[:32]
    file = redis_settings(client, tmp_path, tables, namespace)
    settings = load_settings(file)
    for number in range(2):
        load(spark, settings, AS_OF + number)
    releases = Releases(client, namespace)
    served, size = releases.live().release, client.dbsize()
    before = contents(client, namespace)
    arguments = ("load-redis", "--settings", str(file), "--as-of", as_text(AS_OF + 2))
    killed(lambda: moment(client, releases, size), *arguments)
    # What was live before can still be read, or be gone back to.
    pointer, after = releases.live(), contents(client, namespace)
    assert served in (pointer.release, pointer.previous)
    prefix = f"{served}:".encode()
    assert {key: after[key] for key in before if key.startswith(prefix)} == {
        key: value for key, value in before.items() if key.startswith(prefix)
    }
    load(spark, settings, AS_OF + 2)
    assert contents(client, namespace) == undisturbed_release
