"""What is masked is in no answer from a second later, whatever is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lookup_servers import Endpoint, RedisServer, ids_of, publish, publish_usual, ranked, route_of, wait_until
from typer.testing import CliRunner

from larder.cli.main import app
from larder.loaders.keys import key64
from larder.loaders.mask_sets import MaskSets

pytestmark = pytest.mark.end_to_end

VISIBLE_SECONDS = 1.0
PRODUCTS = [f"p{number}" for number in range(30)]
EndpointAndMasks = tuple[Endpoint, MaskSets]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointAndMasks]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    publish(
        server.client(),
        "m1",
        similar={product: ranked(*PRODUCTS[number + 1 : number + 13]) for number, product in enumerate(PRODUCTS[:-1])},
        personal={f"c{number}": ranked(*PRODUCTS[number::3]) for number in range(3)},
        generic={("", ""): ranked(*PRODUCTS)},
    )
    endpoint = Endpoint(server.url)
    endpoint.wait_ready("m1")
    yield endpoint, MaskSets(server.client(), "larder")
    endpoint.stop()
    server.kill()


some = st.lists(st.sampled_from(PRODUCTS), max_size=6, unique=True)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    everybody=some, own=some, basket=st.lists(st.sampled_from(PRODUCTS), max_size=4, unique=True), n=st.integers(1, 30)
)
def test_masked_seen_and_excluded_products_never_appear(
    served: EndpointAndMasks, everybody: list[str], own: list[str], basket: list[str], n: int
) -> None:
    endpoint, masks = served
    if everybody:
        masks.add(everybody, "out_of_stock")
    if own:
        masks.add_for("c1", own, 60)
    time.sleep(VISIBLE_SECONDS)
    excluded = "&".join(f"exclude={product}" for product in basket)
    hidden = {*everybody, *own, *basket}
    for query in (f"cookie=c1&n={n}", f"cookie=c1&product=p3&n={n}", f"cookie=c1&product=p1&product=p9&n={n}"):
        answer = endpoint.ask(f"{query}&{excluded}")
        assert not hidden & set(ids_of(answer))
        # Lists of other routes make up for what is masked.
        assert len(ids_of(answer)) >= min(n, len(set(PRODUCTS) - hidden - {"p1", "p3", "p9"}))
    assert not {*everybody} & set(ids_of(endpoint.ask("n=30")))
    if everybody:
        assert masks.remove(everybody) == len(everybody)
    if own:
        assert masks.remove_for("c1", own) == len(own)
        assert masks.all_for("c1") == ([], 0)


def test_a_mask_that_is_removed_is_gone_in_a_second(served: EndpointAndMasks) -> None:
    endpoint, masks = served
    masks.add(["p0"], "withdrawn")
    assert masks.all() == {"p0": "withdrawn"}
    wait_until(lambda: ids_of(endpoint.ask("n=1")) == ["p1"], VISIBLE_SECONDS)
    masks.remove(["p0"])
    assert masks.all() == {}
    wait_until(lambda: ids_of(endpoint.ask("n=1")) == ["p0"], VISIBLE_SECONDS)


def test_what_a_visitor_has_seen_ends_with_its_time(served: EndpointAndMasks) -> None:
    endpoint, masks = served
    masks.add_for("c0", ["p0"], 1)
    assert masks.all_for("c0") == (["p0"], 1)
    assert ids_of(endpoint.ask("cookie=c0&n=1")) == ["p3"]
    wait_until(lambda: ids_of(endpoint.ask("cookie=c0&n=1")) == ["p0"], 3)


def test_masks_outlast_a_redis_that_is_gone(
    own_redis: Callable[..., RedisServer], own_endpoint: Callable[..., Endpoint]
) -> None:
    server = own_redis()
    publish_usual(server.client())
    endpoint = own_endpoint(server.url)
    endpoint.wait_ready("r1")
    MaskSets(server.client(), "larder").add(["p10"], "out_of_stock")
    wait_until(lambda: ids_of(endpoint.ask("n=1")) == ["p11"], VISIBLE_SECONDS)
    server.kill()
    assert ids_of(endpoint.ask("n=1")) == ["p11"]


def test_a_mask_of_nothing_is_refused(served: EndpointAndMasks) -> None:
    for products in ([], [""]):
        with pytest.raises(ValueError, match="at least one product"):
            served[1].add(products, "withdrawn")


def test_a_broken_overlay_hides_no_answer(served: EndpointAndMasks) -> None:
    endpoint, masks = served
    masks._client.set(masks._keys.seen(key64("c2")), "not a set")
    answer = endpoint.ask("cookie=c2")
    assert route_of(answer, "personal")["status"] == "used"
    assert "larder_lookup_seen_unknown_total 1\n" in endpoint.client.get("/metrics").text


def test_the_command_line_masks_and_lists(served: EndpointAndMasks, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, masks = served
    port = masks._client.connection_pool.connection_kwargs["port"]
    monkeypatch.setenv("LARDER_REDIS__URL", f"redis://127.0.0.1:{port}")

    def larder(*words: str) -> str:
        done = CliRunner().invoke(app, ["mask", *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "masked: 2" in larder("add", "p0", "p1", "--reason", "withdrawn")
    assert "masked: 1" in larder("add", "p4", "--cookie", "c1", "--hours", "1")
    assert "withdrawn" in larder("list")
    assert "p4" in larder("list", "--cookie", "c1")
    wait_until(lambda: ids_of(endpoint.ask("n=1")) == ["p2"], VISIBLE_SECONDS)
    assert "2 of 2" in larder("remove", "p0", "p1")
    assert "1 of 1" in larder("remove", "p4", "--cookie", "c1")
