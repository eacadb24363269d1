"""Experiments in a real server: put in force, changed and ended by one write each, or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_publisher import completed, content, live

from larder.experiments.assignment import shares_of
from larder.experiments.running import InvalidExperimentError, RunningExperiments, read_running, started
from larder.loaders.experiment_store import ExperimentStore
from larder.loaders.releases import ReleaseError, Releases
from larder.settings import ExperimentSettings

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def settings(release: str = "live", **more: Any) -> ExperimentSettings:
    arms = {"control": {"share": 0.5}, "new": {"share": 0.5, "release": release}}
    return ExperimentSettings.model_validate({"arms": arms, **more})


def store_of(releases: Releases) -> ExperimentStore:
    return ExperimentStore(releases.client, releases.keys.namespace)


@pytest.mark.end_to_end
def test_the_candidate_is_the_newest_complete_release_that_is_not_live(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3")
    releases.flip("r2")
    begun = store_of(releases).start("lists", settings("candidate"), NOW)
    assert begun.releases == {"control": "live", "new": "r3"}
    assert store_of(releases).all() == RunningExperiments(running={"lists": begun})


@pytest.mark.end_to_end
@pytest.mark.parametrize("release", ["candidate", "r9", "staged"])
def test_an_experiment_without_a_complete_release_is_refused(releases: Releases, release: str) -> None:
    live(releases, "r1")
    with pytest.raises(InvalidExperimentError):
        store_of(releases).start("lists", settings(release), NOW)
    assert store_of(releases).all().running == {}


@pytest.mark.end_to_end
def test_shares_change_and_the_history_says_when(releases: Releases) -> None:
    live(releases, "r1")
    store = store_of(releases)
    store.start("lists", settings(), NOW)
    later = NOW.replace(hour=13)
    changed = store.shift("lists", {"control": 0.1, "new": 0.2}, later)
    found = {arm: round(share, 6) for arm, share in shares_of(changed.segments).items()}
    assert found == {"control": 0.1, "new": 0.2}
    assert [each.since for each in changed.history] == [NOW, later]
    assert store.all().running["lists"] == changed
    for wrong in ({"control": 0.9}, {"third": 0.1}, {"control": -0.1}):
        with pytest.raises(InvalidExperimentError):
            store.shift("lists", wrong, later)
    assert store.all().running["lists"] == changed


@pytest.mark.end_to_end
def test_what_would_collide_is_refused(releases: Releases) -> None:
    live(releases, "r1", "r2")
    store = store_of(releases)
    store.start("one", settings("r1", scenes=["home"]), NOW)
    with pytest.raises(InvalidExperimentError, match="runs already"):
        store.start("one", settings(), NOW)
    with pytest.raises(InvalidExperimentError, match="both change the release of home"):
        store.start("two", settings("r1"), NOW)
    with pytest.raises(InvalidExperimentError, match="layer one"):
        store.start("two", settings(layer="one"), NOW)
    store.start("two", settings("r1", scenes=["basket"], layer="one"), NOW)
    store.start("three", settings(), NOW)
    with pytest.raises(InvalidExperimentError, match="there is one, two, three"):
        store.stop("four")
    assert store.stop("one").settings == settings("r1", scenes=["home"])
    assert list(store.all().running) == ["two", "three"]


@pytest.mark.end_to_end
def test_changes_at_the_same_time_all_count(releases: Releases) -> None:
    live(releases, "r1")
    store = store_of(releases)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: store.start(f"e{number}", settings(), NOW), range(4)))
    assert set(store.all().running) == {f"e{number}" for number in range(4)}


@pytest.mark.end_to_end
def test_a_release_that_an_experiment_serves_is_kept(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3", "r4")
    store = store_of(releases)
    store.start("lists", settings("r1"), NOW)
    assert releases.retire_beyond(2) == ["r2"]
    kept = releases.find("r1")
    assert kept is not None
    with pytest.raises(ReleaseError, match="r1 is served by an experiment"):
        releases.remove(kept)
    assert releases.find("r1") == kept
    store.stop("lists")
    assert releases.retire_beyond(2) == ["r1"]


@pytest.mark.end_to_end
def test_nothing_is_removed_while_the_experiments_cannot_be_read(releases: Releases) -> None:
    live(releases, "r1", "r2", "r3")
    releases.client.set(releases.keys.experiments, '{"format": 2}')
    with pytest.raises(InvalidExperimentError, match="can't be read"):
        releases.retire_beyond(1)
    assert [each.name for each in releases.all()] == ["r1", "r2", "r3"]
    with pytest.raises(InvalidExperimentError):
        store_of(releases).stop("lists")


@pytest.mark.end_to_end
def test_a_damaged_release_is_not_given_to_visitors(releases: Releases) -> None:
    live(releases, "r1")
    completed(releases, "r2", content(2, cookies=5))
    releases.client.delete(releases.keys.meta("r2"))
    with pytest.raises(InvalidExperimentError, match="repair-release r2"):
        store_of(releases).start("lists", settings("r2"), NOW)


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0, 0.25), min_size=1), st.sampled_from(["cookie", "request"]))
def test_what_is_written_is_what_is_read(shares: dict[str, float], unit: str) -> None:
    arms = {name: {"share": share} for name, share in shares.items()}
    of = ExperimentSettings.model_validate({"arms": arms, "unit": unit, "from": "2026-01-01T00:00:00Z"})
    running = RunningExperiments(running={"x": started(of, dict.fromkeys(arms, "live"), NOW)})
    assert read_running(running.model_dump_json(by_alias=True).encode()) == running
