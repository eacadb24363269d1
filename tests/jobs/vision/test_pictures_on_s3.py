"""Pictures in S3, by its protocol: read where the tasks run, and told apart where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pytest
from image_files import JPEG, PNG
from job_processes import run_jobs
from s3_server import KEYS, hold_keys, s3_server

from larder.jobs.vision.picture_files import NAMED, PictureFetcher, stat
from larder.jobs.vision.picture_listing import located
from larder.jobs.vision.training_plan import backbone_of
from larder.settings import VisionSettings

pytestmark = pytest.mark.end_to_end

REGION = "eu-central-1"
OBJECTS = {
    "images/1.jpg": JPEG,
    "images/a b.png": PNG,
    "images/empty.jpg": b"",
    "images/page.jpg": b"<html>",
    "nets/any.keras": b"PK",
}
URIS = {
    "s3a://shop/images/1.jpg": None,
    "s3://shop/images/a b.png": None,
    "s3a://shop/images/empty.jpg": "empty_file",
    "s3a://shop/images/page.jpg": "text_file",
    "s3a://shop/images/gone.jpg": "missing_image",
    "s3a://shop/images": "not_a_file",
    "s3a://elsewhere/1.jpg": "missing_image",
    "s3a:///1.jpg": "unreadable_image",
}
SETTINGS = """
[storage]
tables = "tables"
catalogue = "catalogue.parquet"
images = "s3a://shop/images"
[s3]
endpoint = "{endpoint}"
region = "eu-central-1"
[vision]
image_size = 16
[spark]
shuffle_partitions = 2
driver_memory = "1g"
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server with the objects in a bucket."""
    keys = {name.lower(): KEYS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    with s3_server() as url:
        client = boto3.client("s3", endpoint_url=url, region_name=REGION, **keys)
        client.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": REGION})
        for name, data in OBJECTS.items():
            client.put_object(Bucket="shop", Key=name, Body=data)
        yield url


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    hold_keys(monkeypatch)


def test_the_store_is_the_one_that_the_environment_names_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    before, _ = located("s3a://shop/images/1.jpg")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    now, path = located("s3a://shop/images/1.jpg")
    assert now != before
    assert path == "shop/images/1.jpg"


def test_each_object_is_read_or_its_reason_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    rows = [{"product_id": str(number), "category": "A", "uri": uri} for number, uri in enumerate(URIS)]
    batch = pa.RecordBatch.from_pylist(rows, schema=NAMED)
    [found] = PictureFetcher(image_size=16, max_pixels=10_000, max_bytes=100_000, min_side=1, read_ahead=3)([batch])
    assert dict(zip(URIS, found["reason"].to_pylist(), strict=True)) == URIS
    assert [len(pixels or b"") for pixels in found["pixels"].to_pylist()[:3]] == [16 * 16 * 3] * 2 + [0]
    [stated] = stat([batch])
    assert stated["size"].to_pylist()[:3] == [len(JPEG), len(PNG), 0]
    assert stated["size"].to_pylist()[4:] == [-1] * 4


def test_a_backbone_may_lie_there(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    found = backbone_of(VisionSettings(backbone="s3a://shop/nets/any.keras"))
    assert found is not None and found.weights == OBJECTS["nets/any.keras"]
    with pytest.raises(FileNotFoundError, match="gone"):
        backbone_of(VisionSettings(backbone="s3a://shop/nets/gone.keras"))


@pytest.mark.slow
def test_tasks_reach_the_store_that_the_settings_name(endpoint: str, tmp_path: Path) -> None:
    names = [name.removeprefix("images/") for name in OBJECTS if name.startswith("images/")] + ["gone.jpg"]
    pd.DataFrame({"product_id": names, "image": names}).to_parquet(tmp_path / "catalogue.parquet")
    (tmp_path / "larder.toml").write_text(SETTINGS.format(endpoint=endpoint))
    [report] = run_jobs(tmp_path / "larder.toml", ["ingest_images"])
    assert (report["rows_in"], report["rows_out"], report["quarantined"]) == (5, 2, 3)
    [again] = run_jobs(tmp_path / "larder.toml", ["ingest_images"])
    assert again["details"]["up_to_date"]
