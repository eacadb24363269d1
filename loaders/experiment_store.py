"""Experiments in Redis: started, shifted and stopped by one write each, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from larder.experiments.running import (
    InvalidExperimentError,
    RunningExperiment,
    RunningExperiments,
    conflicts,
    read_running,
    started,
)
from larder.loaders.keys import Keys
from larder.loaders.registered_release import VERIFIED
from larder.loaders.releases import Releases
from larder.loaders.servers import Client
from larder.settings.experiments_section import LIVE, ExperimentSettings

CANDIDATE = "candidate"
# The value is replaced only if it is still the one that the change was made from.
REPLACE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
TRIES = 5


class ExperimentStore:
    """The experiments of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client: Any = client
        self._key = Keys(namespace).experiments
        self._releases = Releases(client, namespace)

    def all(self) -> RunningExperiments:
        """Returns the experiments in force. Raises InvalidExperimentError."""
        return read_running(self._client.get(self._key))

    def start(self, name: str, settings: ExperimentSettings, now: datetime) -> RunningExperiment:
        """Puts an experiment in force. Raises InvalidExperimentError if it can't be, and changes nothing then."""
        begun = started(settings, {arm: self._release(each.release) for arm, each in settings.arms.items()}, now)

        def add(found: RunningExperiments) -> dict[str, RunningExperiment]:
            if name in found.running:
                raise InvalidExperimentError(
                    f"{name} runs already; `larder experiment shift {name}` changes its shares, `stop` ends it"
                )
            return {**found.running, name: begun}

        self._change(add)
        if gone := [each for each in set(begun.releases.values()) - {LIVE} if self._releases.state(each) != VERIFIED]:
            self.stop(name)
            raise InvalidExperimentError(f"release {gone[0]} was retired meanwhile; {name} is not in force")
        return begun

    def shift(self, name: str, shares: Mapping[str, float], now: datetime) -> RunningExperiment:
        """Changes the shares of some arms. Raises InvalidExperimentError, and changes nothing then."""
        changed = self._change(lambda found: {**found.running, name: _running(found, name).with_shares(shares, now)})
        return changed.running[name]

    def stop(self, name: str) -> RunningExperiment:
        """Ends an experiment: from now on its visitors get what everybody gets. Returns what it was."""
        stopped = _running(self.all(), name)
        self._change(lambda found: {other: each for other, each in found.running.items() if other != name})
        return stopped

    def _change(self, change: Callable[[RunningExperiments], dict[str, RunningExperiment]]) -> RunningExperiments:
        for _ in range(TRIES):
            raw = self._client.get(self._key) or b""
            after = RunningExperiments(running=change(read_running(raw)))
            if problems := list(conflicts(after)):
                raise InvalidExperimentError(f"{'; '.join(problems)}; stop one of them, or name other scenes")
            if self._client.eval(REPLACE, 1, self._key, raw, after.model_dump_json(by_alias=True)):
                return after
        raise InvalidExperimentError("the experiments were changed by others meanwhile; try again")

    def _release(self, wanted: str) -> str:
        """Returns the name of a complete release. Raises InvalidExperimentError."""
        if wanted == LIVE:
            return LIVE
        name = self._candidate() if wanted == CANDIDATE else wanted
        if (state := self._releases.state(name)) != VERIFIED:
            raise InvalidExperimentError(f"release {name} is {state}, not verified; `larder status` lists those kept")
        if problems := self._releases.problems(name):
            raise InvalidExperimentError(f"release {'; '.join(problems)}; `larder repair-release {name}` restores it")
        return name

    def _candidate(self) -> str:
        live = self._releases.live().release
        found = [each.name for each in self._releases.all() if each.state == VERIFIED and each.name != live]
        if not found:
            raise InvalidExperimentError(
                "no complete release beside the live one; load one with `larder load-redis --stay` first"
            )
        return found[-1]


def _running(found: RunningExperiments, name: str) -> RunningExperiment:
    if name not in found.running:
        there = ", ".join(found.running) or "none"
        raise InvalidExperimentError(f"{name} does not run; there is {there}")
    return found.running[name]
