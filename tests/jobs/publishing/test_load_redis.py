"""A release's tables to a real server: checked, then live; what is not whole stays out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from pyspark.sql import SparkSession
from release_tables import AS_OF, Row, contents, load, served_list, write_release

from larder.jobs.publishing.whole_release import release_name
from larder.loaders import completeness
from larder.loaders.embedded import embedded_server
from larder.loaders.keys import context_key64, key64
from larder.loaders.record_counts import RecordCount
from larder.loaders.releases import STAGED, VERIFIED, Live, ReleaseError, Releases
from larder.models.hours import as_of_partition, as_text
from larder.settings import RedisSettings, Settings, StorageSettings
from larder.storage import MissingPartitionError, Tables
from larder.storage.manifests import plan_run

pytestmark = pytest.mark.end_to_end

_numbers = itertools.count()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with embedded_server(tmp_path_factory.mktemp("redis")) as url, redis.Redis.from_url(url) as connected:
        yield connected


Made = tuple[str, list[dict[str, list[Row]]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The tables of three releases, an hour apart, and their rows."""
    folder = str(tmp_path_factory.mktemp("releases"))
    settings = Settings(storage=StorageSettings(tables=folder))
    return folder, [write_release(settings, AS_OF + number, seed=number) for number in range(3)]


@pytest.fixture
def settings(client: redis.Redis, made: Made) -> Settings:
    """A namespace of the test's own."""
    path = client.connection_pool.connection_kwargs["path"]
    return Settings(
        storage=StorageSettings(tables=made[0]),
        redis=RedisSettings(url=f"unix://{path}", namespace=f"load{next(_numbers)}", keep_releases=2),
    )


@pytest.fixture
def releases(client: redis.Redis, settings: Settings) -> Releases:
    return Releases(client, settings.redis.namespace)


def test_every_list_is_served_as_it_was_made(
    spark: SparkSession, client: redis.Redis, settings: Settings, releases: Releases, made: Made
) -> None:
    rows = made[1][0]
    report = load(spark, settings, AS_OF)
    assert (
        report.rows_in == report.rows_out == sum(len(some) for table, some in rows.items() if "dictionary" not in table)
    )
    namespace = settings.redis.namespace
    for key, items, _ in rows["release_cookies"]:
        assert served_list(client, namespace, "c", key % 2**64) == [f"p{item}" for item in items]
    for id_, items, _ in rows["release_products"]:
        assert served_list(client, namespace, "p", key64(id_)) == [f"p{item}" for item in items]
    for id_, items, _ in rows["release_category_lists"]:
        assert served_list(client, namespace, "s", key64(id_)) == [f"p{item}" for item in items]
        assert served_list(client, namespace, "p", key64(id_)) is None
    for location, device, items, _ in rows["release_contexts"]:
        assert served_list(client, namespace, "g", context_key64(location, device)) == [f"p{item}" for item in items]
    [release] = releases.all()
    assert (release.state, release.as_of, releases.live()) == (VERIFIED, as_text(AS_OF), Live(release.name, None))
    assert report.details["release"] == report.details["live"] == release.name
    assert release.name.startswith("2017120400")
    assert release.name.isalnum()


def test_loading_again_changes_nothing(spark: SparkSession, client: redis.Redis, settings: Settings) -> None:
    load(spark, settings, AS_OF)
    before = contents(client, settings.redis.namespace)
    assert load(spark, settings, AS_OF).details["up_to_date"]
    assert contents(client, settings.redis.namespace) == before


def test_a_release_may_be_loaded_and_stay(spark: SparkSession, settings: Settings, releases: Releases) -> None:
    load(spark, settings, AS_OF)
    first = releases.live()
    report = load(spark, settings, AS_OF + 1, stay=True)
    assert releases.live() == first
    assert report.details["live"] == first.release
    assert [release.state for release in releases.all()] == [VERIFIED, VERIFIED]
    load(spark, settings, AS_OF + 1)
    assert releases.live() == Live(report.details["release"], first.release)


def test_old_releases_are_retired(
    spark: SparkSession, client: redis.Redis, settings: Settings, releases: Releases
) -> None:
    names = []
    for number in range(3):
        names.append(load(spark, settings, AS_OF + number).details["release"])
    assert [release.name for release in releases.all()] == names[1:]
    assert not any(names[0].encode() in key for key in contents(client, settings.redis.namespace))
    assert releases.rollback() == Live(names[1], names[2])


def test_a_load_that_ended_at_the_flip_retires_when_it_runs_again(
    spark: SparkSession, settings: Settings, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        load(spark, settings, AS_OF + number)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Releases, "retire_beyond", killed)
        with pytest.raises(KeyboardInterrupt):
            load(spark, settings, AS_OF + 2)
    assert len(releases.all()) == 3
    load(spark, settings, AS_OF + 2)
    assert len(releases.all()) == 2


def test_another_content_or_format_is_another_release() -> None:
    runs = [plan_run("release", as_of_partition(AS_OF), {"contexts": name}, {}) for name in "ab"]
    formats = [RedisSettings(), RedisSettings(bucket_size=9), RedisSettings(scores=False)]
    names = {release_name(run, how) for run in runs for how in formats}
    assert len(names) == len(runs) * len(formats)
    assert release_name(runs[0], RedisSettings(keep_releases=9)) in names


def test_without_scores(spark: SparkSession, client: redis.Redis, settings: Settings, made: Made) -> None:
    bare = settings.model_copy(update={"redis": settings.redis.model_copy(update={"scores": False})})
    load(spark, bare, AS_OF)
    key, items, _ = next(row for row in made[1][0]["release_cookies"] if row[1])
    assert served_list(client, settings.redis.namespace, "c", key % 2**64) == [f"p{item}" for item in items]


def test_a_release_not_made_yet_is_named_with_its_command(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(MissingPartitionError, match="larder precompute --as-of 2017-12-03T23"):
        load(spark, settings, AS_OF - 1)


def test_tables_of_two_runs_are_not_mixed(spark: SparkSession, settings: Settings, releases: Releases) -> None:
    """What is there when the job that makes lists is killed among its manifests."""
    tables, partition = Tables(settings.storage.tables), as_of_partition(AS_OF)
    dictionary = tables.get("release_dictionary", partition, "")
    other = replace(dictionary, run=tables.get("release_dictionary", as_of_partition(AS_OF + 1), "").run)
    tables.publish(other)
    try:
        with pytest.raises(MissingPartitionError, match=f"release_dictionary of {partition}"):
            load(spark, settings, AS_OF)
    finally:
        tables.publish(dictionary)
    assert releases.live() == Live(None, None)


def test_a_server_that_lost_records_is_noticed(
    spark: SparkSession, client: redis.Redis, settings: Settings, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completeness, "count_records", lambda *_: RecordCount())
    with pytest.raises(ReleaseError, match="has 0 of"):
        load(spark, settings, AS_OF)
    [release] = releases.all()
    assert (release.state, releases.live()) == (STAGED, Live(None, None))
