"""Masks by their changes: what a reader knows after following them is what Redis has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lookup_servers import Endpoint, RedisServer, ids_of, publish, publish_usual, ranked, wait_until

from larder.loaders.mask_changes import MOST_BYTES, changed_products, next_version
from larder.loaders.mask_sets import MaskSets

MakeRedis = Callable[..., RedisServer]
MakeEndpoint = Callable[..., Endpoint]

ids = st.text(min_size=1, max_size=30)
changes = st.lists(st.one_of(st.lists(ids, max_size=5), st.binary(max_size=20)), max_size=50)


@given(changes, st.data())
def test_a_reader_learns_every_product_that_changed_or_that_it_must_read_all(
    made: list[list[str] | bytes], data: st.DataObject
) -> None:
    """A list is a change by Larder; bytes, with a number, are what somebody else leaves as version."""
    versions: list[bytes | None] = [None]
    for change in made:
        other = b"%d" % len(versions) + change if isinstance(change, bytes) else None
        versions.append(other or next_version(versions[-1], list(map(str, change))))
        assert not isinstance(change, list) or len(versions[-1] or b"") <= MOST_BYTES
    start = data.draw(st.integers(0, len(made)))
    told = changed_products(versions[start], versions[-1])
    since = made[start:]
    if told is not None and versions[start] != versions[-1]:
        assert {product for change in since if isinstance(change, list) for product in change} <= set(told)
        # Nothing of somebody else lies between.
        last_other = max((place for place, change in enumerate(made) if not isinstance(change, list)), default=-1)
        assert versions[start] in versions[last_other + 1 :]
    if len(since) == 1 and isinstance(since[0], list):
        assert told is not None or len(str(since[0]).encode()) > MOST_BYTES // 8


@pytest.mark.end_to_end
def test_a_change_is_read_without_the_other_masks(own_redis: MakeRedis, own_endpoint: MakeEndpoint) -> None:
    server = own_redis()
    client = server.client()
    publish(client, "r1", generic={("", ""): ranked("p1", "p2", "p3")})
    masks = MaskSets(client, "larder")
    masks.add([f"other{number}" for number in range(5000)], "out_of_stock")
    masks.add(["p1"], "out_of_stock")
    served = own_endpoint(server.url)
    served.wait_ready("r1")
    wait_until(lambda: ids_of(served.ask()) == ["p2", "p3"])

    def pointer_free_reads() -> int:
        """HGETALL of masks: those of the pointer come all the time, so replies' bytes are counted instead."""
        return int(client.info("stats")["total_net_output_bytes"])

    before = pointer_free_reads()
    for number in range(20):
        product = ("p2", "p3")[number % 2]
        masks.add([product], "out_of_stock")
        wait_until(lambda product=product: product not in ids_of(served.ask()))
        masks.remove([product])
        wait_until(lambda product=product: product in ids_of(served.ask()))
    # Twenty times all masks would be more than a million bytes.
    assert pointer_free_reads() - before < 800_000
    # Somebody else's change tells only that there is one.
    client.hset("larder:masks", mapping={"p2": "withdrawn", "": "another"})
    wait_until(lambda: ids_of(served.ask()) == ["p3"])
    masks.remove(["p2"])
    wait_until(lambda: ids_of(served.ask()) == ["p2", "p3"])


@pytest.mark.end_to_end
def test_masks_of_a_snapshot_do_not_outlive_an_emptied_redis(
    own_redis: MakeRedis, own_endpoint: MakeEndpoint, tmp_path: Path
) -> None:
    (tmp_path / "masks.json").write_text('["p10"]')
    server = own_redis()
    publish_usual(server.client())
    served = own_endpoint(server.url, snapshot=tmp_path)
    served.wait_ready("r1")
    wait_until(lambda: ids_of(served.ask("n=1")) == ["p10"])
    wait_until(lambda: (tmp_path / "masks.json").read_text() == "[]")


@pytest.mark.end_to_end
def test_writers_at_the_same_time_lose_nothing(own_redis: MakeRedis) -> None:
    from threading import Thread

    server = own_redis()

    def write(writer: int) -> None:
        masks = MaskSets(server.client(), "larder")
        for number in range(30):
            masks.add([f"w{writer}-{number}"], "out_of_stock")

    threads = [Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(MaskSets(server.client(), "larder").all()) == 90
