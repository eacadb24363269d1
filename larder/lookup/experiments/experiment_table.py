"""The experiments in force: kept in process, and checked for changes in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from larder.experiments.running import (
    NONE,
    InvalidExperimentError,
    RunningExperiment,
    RunningExperiments,
    read_running,
)
from larder.loaders.keys import Keys
from larder.lookup.answer.scenes import scenes_from
from larder.lookup.experiments.treatment_plan import TreatmentPlan
from larder.lookup.redis.background_read import ReadError, read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.named_releases import NamedReleases
from larder.lookup.release.snapshot import load_experiments, save_experiments
from larder.settings import LookupSettings

log = logging.getLogger("larder.lookup")


class ExperimentTable:
    """`plan` says what a request gets; `problem` is why it may be outdated, or "". Run `follow` as a task.

    `has_looked` after the first look, whatever it found.

    What is in force stays in force until Redis has another valid value. `larder experiment stop` writes one, so a
    value that is missing was lost, and ends nothing: every visitor keeps the arm.
    """

    def __init__(
        self, link: Link, keys: Keys, limits: LookupSettings, releases: NamedReleases, folder: Path | None
    ) -> None:
        """`folder` is that of the snapshot."""
        self.problem = ""
        self.has_looked = False
        self.in_force: Mapping[str, RunningExperiment] = {}
        self._link = link
        self._key = keys.experiments
        self._limits = limits
        self._scenes = scenes_from(limits)
        self._releases = releases
        self._folder = folder
        self._raw: bytes | None = None
        self._experiments = NONE
        self.plan = TreatmentPlan({}, self._scenes, limits)

    async def follow(self) -> None:
        """Checks for changes until cancelled."""
        self._restore()
        await self._link.first_attempt()
        while True:
            try:
                await self.look()
                problem = ""
            except (ReadError, InvalidExperimentError) as error:
                problem = f"experiments cannot be looked up and stay as they are: {error}"
            if problem and problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
            self.has_looked = True
            await asyncio.sleep(self._limits.mask_seconds)

    async def look(self) -> None:
        """Checks for changes once. Raises ReadError, InvalidExperimentError."""
        try:
            [raw] = await read(self._link, [command(b"GET", self._key)])
            if raw is None and self._raw:
                raise InvalidExperimentError(f"{self._key.decode()} is not in Redis any more; start them again")
            if raw != self._raw:
                self._take(raw, read_running(raw))
                self._save(raw)
        finally:
            # Also while Redis is away, an experiment begins and ends when it should.
            self._renew(datetime.now(timezone.utc))

    def _take(self, raw: bytes | None, experiments: RunningExperiments) -> None:
        self._raw, self._experiments = raw, experiments
        self._releases.want(experiments.releases())

    def _renew(self, now: datetime) -> None:
        """Makes another plan if other experiments are in force than before."""
        in_force = {name: each for name, each in self._experiments.running.items() if each.is_in_force(now)}
        if in_force != self.in_force:
            self.plan = TreatmentPlan(in_force, self._scenes, self._limits)
            self.in_force = in_force
            log.info("experiments in force: %s", ", ".join(in_force) or "none")

    def _save(self, raw: bytes | None) -> None:
        if self._folder is None or raw is None:
            return
        try:
            save_experiments(raw, self._folder)
        except OSError as error:
            log.warning("the snapshot of the experiments could not be written: %s", error)

    def _restore(self) -> None:
        if self._folder is None:
            return
        try:
            raw = load_experiments(self._folder)
            self._take(raw, read_running(raw))
        except (OSError, InvalidExperimentError) as error:
            log.warning("the snapshot of the experiments cannot be used: %s", error)
        else:
            self._renew(datetime.now(timezone.utc))
