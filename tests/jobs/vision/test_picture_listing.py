"""Objects of S3 are listed a thousand at once, and what is told of each is what it tells when asked by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import KEYS, hold_keys, s3_server

from larder.jobs.vision import picture_listing
from larder.jobs.vision.picture_listing import NOT_THERE, WORTH_LISTING, size_and_time, sizes_and_times

REGION = "eu-central-1"
CHANGED = datetime(2025, 3, 1, 12, 30, 1, 999_000, timezone.utc)
Keys = st.lists(st.text("ab/é😀", min_size=1, max_size=5), unique=True, max_size=60)


class Store:
    """Objects, and how often they were asked for: listed in pages of ten, or one by one."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys)
        self.listings, self.asked = 0, 0

    def objects_after(self, folder: str, key: str) -> tuple[list[tuple[str, int, datetime]], bool]:
        self.listings += 1
        prefix = folder.partition("/")[2]
        below = [each for each in self.keys if each.startswith(prefix) and each > key]
        return [(f"shop/{each}", len(each), CHANGED) for each in below[:10]], len(below) > 10

    def size_and_time(self, uri: str) -> tuple[int, int]:
        self.asked += 1
        key = uri.removeprefix("s3a://shop/")
        return (len(key), int(CHANGED.timestamp()) * 1_000_000_000) if key in self.keys else NOT_THERE


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(picture_listing, "WORTH_LISTING", 4)
    return monkeypatch


@given(there=Keys, wanted=Keys)
def test_a_listing_tells_what_single_questions_tell(there: list[str], wanted: list[str]) -> None:
    store = Store(there)
    uris = [f"s3a://shop/{key}" for key in wanted]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(picture_listing, "WORTH_LISTING", 4)
        patch.setattr(picture_listing, "objects_after", store.objects_after)
        patch.setattr(picture_listing, "size_and_time", store.size_and_time)
        found = sizes_and_times(uris, pool)
    assert found == [Store(there).size_and_time(uri) for uri in uris]


def test_pictures_of_a_folder_are_not_asked_for_one_by_one(patched: pytest.MonkeyPatch) -> None:
    store = Store([f"images/{number:04d}.jpg" for number in range(200)])
    patched.setattr(picture_listing, "objects_after", store.objects_after)
    patched.setattr(picture_listing, "size_and_time", store.size_and_time)
    with ThreadPoolExecutor(2) as pool:
        found = sizes_and_times([f"s3a://shop/{key}" for key in store.keys], pool)
    assert NOT_THERE not in found
    assert (store.listings, store.asked) == (20, 0)


def test_few_pictures_of_a_large_folder_are_asked_for_one_by_one(patched: pytest.MonkeyPatch) -> None:
    store = Store([f"images/{number:04d}.jpg" for number in range(2_000)])
    patched.setattr(picture_listing, "objects_after", store.objects_after)
    patched.setattr(picture_listing, "size_and_time", store.size_and_time)
    with ThreadPoolExecutor(2) as pool:
        sizes_and_times([f"s3a://shop/{key}" for key in store.keys[::100]], pool)
    assert (store.listings, store.asked) == (1, 19)


def test_a_store_that_refuses_to_list_is_asked_one_by_one(patched: pytest.MonkeyPatch) -> None:
    def refused(folder: str, key: str) -> None:
        raise OSError("AccessDenied")

    store = Store([f"images/{number}.jpg" for number in range(30)])
    patched.setattr(picture_listing, "objects_after", refused)
    patched.setattr(picture_listing, "size_and_time", store.size_and_time)
    with ThreadPoolExecutor(2) as pool:
        assert NOT_THERE not in sizes_and_times([f"s3a://shop/{key}" for key in store.keys], pool)


def test_local_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"12")
    with ThreadPoolExecutor(2) as pool:
        found = sizes_and_times([str(tmp_path / name) for name in ("1.jpg", "2.jpg")], pool)
    assert found == [(2, (tmp_path / "1.jpg").stat().st_mtime_ns), NOT_THERE]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    keys = {name.lower(): KEYS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    with s3_server() as url:
        client = boto3.client("s3", endpoint_url=url, region_name=REGION, **keys)
        client.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": REGION})
        for number in range(2 * WORTH_LISTING):
            client.put_object(Bucket="shop", Key=f"images/{number}.jpg", Body=bytes(number))
        yield url


@pytest.mark.end_to_end
def test_a_real_store_tells_the_same_by_listing_and_by_asking(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_keys(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    uris = [f"s3a://shop/images/{number}.jpg" for number in (*range(2 * WORTH_LISTING), "gone")]
    expected = [size_and_time(uri) for uri in uris]
    monkeypatch.setattr(picture_listing, "size_and_time", lambda uri: pytest.fail(f"{uri} was asked for by itself"))
    with ThreadPoolExecutor(2) as pool:
        assert sizes_and_times(uris, pool) == expected
    assert [size for size, _ in expected] == [*range(2 * WORTH_LISTING), -1]
