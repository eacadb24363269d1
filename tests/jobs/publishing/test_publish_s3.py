"""A release whose tables lie in S3, loaded without Spark: the protocol is real, the store is on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.fs as fs
import pytest
from publishing_readers import read_list
from publishing_shop import FIRST, Shop
from s3_server import hold_keys, s3_server

pytestmark = pytest.mark.end_to_end

BUCKET = "larder"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[fs.S3FileSystem]:
    """An empty bucket, and the usual variables that lead to it."""
    with s3_server() as url:
        hold_keys(monkeypatch, AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        system = fs.S3FileSystem(endpoint_override=url, allow_bucket_creation=True)
        system.create_dir(BUCKET)
        yield system


def test_a_release_and_a_delta_from_s3(store: fs.S3FileSystem, single_shop: Shop) -> None:
    lists = single_shop.release(FIRST, seed=1)
    keys = list(lists)
    single_shop.delta("2026-11-20T01", {keys[0]: ["p0000007"]})
    fs.copy_files(str(single_shop.tables), f"{BUCKET}/tables", destination_filesystem=store)
    text = single_shop.settings.read_text()
    single_shop.settings.write_text(text.replace(f'"{single_shop.tables}"', f'"s3a://{BUCKET}/tables"'))
    for words in ((FIRST,), ("2026-11-20T01", "--delta")):
        done = single_shop.load(*words)
        assert done.returncode == 0, done.stderr
    client = single_shop.releases().client
    live = single_shop.releases().live().release or ""
    assert read_list(client, live, keys[0]) == [7]
    assert all(read_list(client, live, key) == lists[key] for key in keys[1:200])


def test_a_bucket_that_is_not_there_is_a_line(store: fs.S3FileSystem, single_shop: Shop) -> None:
    text = single_shop.settings.read_text()
    single_shop.settings.write_text(text.replace(f'"{single_shop.tables}"', '"s3a://absent/tables"'))
    refused = single_shop.load(FIRST)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "precompute" in refused.stderr or "absent" in refused.stderr
