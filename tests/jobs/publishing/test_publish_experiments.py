"""`larder experiment` on releases that were loaded: what operators see, and what is refused."""

from __future__ import annotations

import pytest
from publishing_shop import FIRST, SECOND, Shop

pytestmark = pytest.mark.end_to_end

EXPERIMENT = """
[experiments.lists.arms.control]
share = 0.5
[experiments.lists.arms.new]
share = 0.25
release = "candidate"
explore = {policy = "epsilon"}
[experiments.elsewhere]
scenes = ["checkout"]
arms = {only = {share = 1}}
"""


@pytest.fixture
def experimenting(shop: Shop) -> Shop:
    """Two releases, of which the second stays beside the live one, and settings with experiments."""
    for as_of, options in ((FIRST, ()), (SECOND, ("--stay",))):
        shop.release(as_of, cookies=200)
        assert shop.load(as_of, *options).returncode == 0
    with shop.settings.open("a") as file:
        file.write(EXPERIMENT)
    return shop


def test_an_experiment_from_its_start_to_its_end(experimenting: Shop) -> None:
    candidate = experimenting.name(SECOND)
    started = experimenting.larder("experiment", "start", "lists")
    assert started.returncode == 0, started.stderr
    for said in (
        started.stdout,
        experimenting.larder("experiment", "list").stdout,
        experimenting.larder("status").stdout,
    ):
        assert "25.00%" in said and candidate in said and "in force since" in said and "epsilon" in said
    shifted = experimenting.larder("experiment", "shift", "lists", "control=0", "new=1")
    assert "100.00%" in shifted.stdout
    assert f"lists: arm new, release {candidate}" in experimenting.larder("experiment", "who", "--cookie", "c1").stdout
    assert "needs a cookie" in experimenting.larder("experiment", "who", "--request-id", "q1").stdout
    retired = experimenting.larder("retire", candidate)
    assert retired.returncode == 1 and "served by an experiment" in retired.stderr
    assert "stopped: lists" in experimenting.larder("experiment", "stop", "lists").stdout
    assert experimenting.larder("experiment", "list").stdout == "no experiment runs\n"
    assert "experiment" not in experimenting.larder("status").stdout
    assert experimenting.larder("retire", candidate).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("start", "none"), "no [experiments.none]; there is lists, elsewhere"),
        (("start", "elsewhere"), "no such scene: checkout; there are default"),
        (("shift", "lists", "control=1"), "lists does not run; there is none"),
        (("shift", "lists", "control"), "must be ARM=SHARE"),
        (("stop", "lists"), "lists does not run"),
        (("who",), "give --cookie"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(experimenting: Shop, arguments: tuple[str, ...], told: str) -> None:
    done = experimenting.larder("experiment", *arguments)
    assert done.returncode != 0
    assert told in done.stderr
