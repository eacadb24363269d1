"""S3 by its protocol: a real server on loopback, reached by pyarrow, and by Spark's tasks and its s3a."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from job_processes import run_jobs
from s3_server import hold_keys, s3_server

from demo import synthetic
from larder.jobs.runtime.expected_errors import explained
from larder.jobs.runtime.spark_versions import s3_package
from larder.models.hours import hour, hour_partition
from larder.settings import SettingsError, load_settings
from larder.storage import StoragePath, Tables, s3
from larder.storage.s3 import S3Access, spark_options

pytestmark = pytest.mark.end_to_end

BUCKET = "shop"
START = hour("2026-11-20T08")
SETTINGS = """
[storage]
events = "s3a://shop/events"
tables = "s3a://shop/tables"
[s3]
endpoint = "{endpoint}"
region = "eu-central-1"
[weights]
impression = 0.1
[spark]
shuffle_partitions = 2
driver_memory = "1g"
packages = ["{package}"]
"""
WINDOW = ["--start", "2026-11-20T08", "--end", "2026-11-20T09"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def surroundings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Keys, and no other word of Amazon; an empty bucket."""
    hold_keys(monkeypatch)
    location = {"LocationConstraint": "eu-central-1"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    yield endpoint
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def place(surroundings: str, monkeypatch: pytest.MonkeyPatch) -> StoragePath:
    monkeypatch.setenv("AWS_ENDPOINT_URL", surroundings)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return StoragePath("s3a://shop/folder")


def test_places_in_a_bucket_are_as_on_disk(place: StoragePath) -> None:
    assert not (place / "absent").exists()
    assert (place / "absent").files() == []
    (place / "b" / "2.json").write(b"two")
    (place / "b" / "2.json").write(b"2")
    (place / "a.json").write(b"one")
    (place / "_SUCCESS").write(b"")
    assert (place / "b" / "2.json").read() == b"2"
    assert [info.path for info in place.files()] == ["shop/folder/a.json", "shop/folder/b/2.json"]
    assert place.folders() == ["b"]


def test_a_file_written_anew_within_a_second_has_another_version(place: StoragePath) -> None:
    (place / "a.json").write(b"one")
    (place / "_SUCCESS").write(b"")
    [(path, before)] = place.versions(place.files()).items()
    (place / "a.json").write(b"two")
    [(same_path, after)] = place.versions(place.files()).items()
    assert path == same_path == place.files()[0].path
    assert before != after
    (place / "a.json").write(b"one")
    assert place.versions(place.files()) == {path: before}


def test_a_bucket_that_is_not_there_is_named(place: StoragePath) -> None:
    with pytest.raises(OSError, match="nobody"):
        StoragePath("s3a://nobody/file").read()


@pytest.mark.slow
def test_an_hour_from_events_to_states(surroundings: str, tmp_path: Path) -> None:
    synthetic.main(["--rows", "20000", "--dirt", "0.02", "--bots", "0", "--exact", "--to", str(tmp_path)])
    folder = tmp_path / "events" / hour_partition(START)
    client = boto3.client("s3", endpoint_url=surroundings)
    for file in sorted(folder.iterdir()):
        client.upload_file(str(file), BUCKET, f"events/{hour_partition(START)}/{file.name}")
    (tmp_path / "larder.toml").write_text(SETTINGS.format(endpoint=surroundings, package=s3_package()))

    counting, rolling = ["aggregate_hours", *WINDOW], ["roll_up", *WINDOW, "--from-empty"]
    first, _, again = run_jobs(tmp_path / "larder.toml", counting, rolling, counting)

    assert again["details"]["up_to_date"] == 1
    truth = json.loads((tmp_path / "truth" / hour_partition(START) / "hour.json").read_text())
    assert first["rows_in"] == truth["rows"]
    assert first["quarantined"] == sum(truth["quarantined"].values())
    load_settings(tmp_path / "larder.toml")  # from here on this process knows the endpoint too
    tables = Tables("s3a://shop/tables")
    assert _reasons(tables) == truth["quarantined"]
    assert _total(tables, "hourly_counts", hour_partition(START), "impressions") == truth["events"]["impression"]
    state = tables.find("interactions", "as_of=2026-11-20T09")
    assert state is not None
    expected = pq.read_table(tmp_path / "truth" / hour_partition(START) / "counts.parquet")
    assert state.rows == expected.group_by(["cookie_id", "product_id"]).aggregate([]).num_rows


def _rows(tables: Tables, table: str, partition: str) -> list[dict[str, object]]:
    manifest = tables.get(table, partition, "the jobs above")
    opened = (StoragePath(uri).open() for uri in tables.uris([manifest]))
    return [row for system, path in opened for row in pq.read_table(path, filesystem=system).to_pylist()]


def _reasons(tables: Tables) -> Counter[object]:
    return Counter(row["reason"] for row in _rows(tables, "quarantine", hour_partition(START)))


def _total(tables: Tables, table: str, partition: str, column: str) -> int:
    return sum(int(str(row[column])) for row in _rows(tables, table, partition))


def test_settings_say_where_s3_is_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
    file = tmp_path / "larder.toml"
    file.write_text('[s3]\nendpoint = "http://127.0.0.1:9000"\nregion = "eu-north-1"\n')
    load_settings(file)
    assert S3Access.from_environment(os.environ) == S3Access("http://127.0.0.1:9000", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    load_settings(file)
    assert S3Access.from_environment(os.environ).endpoint == "https://s3.example.org"
    file.write_text('[s3]\nendpoint = "127.0.0.1:9000"\n')
    with pytest.raises(SettingsError, match="endpoint"):
        load_settings(file)
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL"):
        S3Access.from_environment({"AWS_ENDPOINT_URL": "127.0.0.1:9000"})


def test_spark_and_its_tasks_are_told_the_same() -> None:
    assert spark_options({"AWS_SECRET_ACCESS_KEY": "secret"}) == {}
    options = spark_options({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_REGION": "eu-north-1"})
    assert options == {
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
        "spark.hadoop.fs.s3a.endpoint.region": "eu-north-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.executorEnv.AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "spark.executorEnv.AWS_REGION": "eu-north-1",
    }


@pytest.mark.parametrize("part", [1, 2])
def test_a_write_cut_short_leaves_what_was_there(
    place: StoragePath, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """An upload in parts of which one fails must be aborted: PyArrow's stream would complete it."""
    file = place / "part-00000.parquet"
    file.write(b"old")
    client = s3._client(S3Access.from_environment(os.environ))
    upload_part = client.upload_part

    def failing(**named: Any) -> Any:
        if named["PartNumber"] == part:
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "reduce your request rate"}}, "UploadPart")
        return upload_part(**named)

    monkeypatch.setattr(s3, "BYTES_AT_ONCE", 5 << 20)
    monkeypatch.setattr(client, "upload_part", failing)
    with pytest.raises(OSError, match=r"AWS: s3a://shop/folder/part-00000\.parquet can't be written: .*SlowDown"):
        file.write(bytes(11 << 20))
    assert file.read() == b"old"
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    monkeypatch.setattr(client, "upload_part", upload_part)
    file.write(pa.py_buffer(bytes(11 << 20)))
    assert place.sizes() == {"part-00000.parquet": 11 << 20}


def test_a_store_that_is_gone_is_one_line(place: StoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OSError, match="AWS: s3a://shop/folder/a can't be written") as told:
        (place / "a").write(b"x")
    assert explained(told.value) is not None


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_every_name_of_s3_is_the_one_that_spark_reads(scheme: str) -> None:
    place = StoragePath(f"{scheme}://shop/folder")
    assert ((place / "a").uri, place.is_local) == ("s3a://shop/folder/a", False)
