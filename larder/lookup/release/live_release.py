"""Follows the pointer to the live release, and switches to a new one when all that it needs is here."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from pathlib import Path

from larder.loaders.keys import Keys
from larder.lookup.redis.background_read import ReadError, read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.served_release import ServedRelease, UnreadableReleaseError, load_release, read_meta
from larder.lookup.release.snapshot import SnapshotError, load_lists, save_lists

# A release that was refused is tried again no sooner, unless the pointer or its meta changes.
REFUSED_SECONDS = 30.0

log = logging.getLogger("larder.lookup")

Identity = tuple[str, bytes]


class LiveRelease:
    """`current` is the release to answer from, or None; `problem` is why it is not the live one."""

    def __init__(
        self, link: Link, keys: Keys, pause: float, bound: int, cached_records: int, folder: Path | None
    ) -> None:
        """`pause` in seconds between looks; `bound`, `hot`: see load_release; `folder`: of the snapshot."""
        self.current: ServedRelease | None = None
        self.problem = "the live release has not been looked up yet"
        self.loads = 0
        self.refusals = 0
        self._link = link
        self._keys = keys
        self._pause = pause
        self._bound = bound
        self._hot = cached_records
        self._folder = self._folder_to_read = folder
        self._loaded: Identity | None = None
        self._refused: tuple[Identity, float] | None = None

    async def follow(self) -> None:
        """Looks at the pointer until cancelled."""
        await self._link.first_attempt()
        while True:
            try:
                await self.look()
                self._note("")
            except ReadError as error:
                self._note(f"the live release cannot be looked up: {error}")
            except UnreadableReleaseError as error:
                self._note(str(error))
            except Exception as error:
                log.exception("looking up the live release failed")
                self._note(repr(error))
            if self.current is None:
                self._restore()
            # Before the first release there is nobody to answer, so nothing is gained by waiting long.
            await asyncio.sleep(self._pause if self._loaded else min(self._pause, 0.2))

    async def look(self) -> None:
        """One look; loads the live release where it is another one. Raises ReadError, ReleaseError."""
        identity = await self._live()
        if identity == self._loaded:
            return
        if self._refused and self._refused[0] == identity and time.monotonic() < self._refused[1]:
            raise UnreadableReleaseError(self.problem)
        await self._switch(identity)

    async def _live(self) -> Identity:
        """Name and meta of the live release. Both count: after a wiped Redis, a name may come again."""
        [name] = await read(self._link, [command(b"HGET", self._keys.live, b"release")])
        if not name:
            raise UnreadableReleaseError(f"no release is live yet: {self._keys.live.decode()} is not there")
        release = name.decode("utf-8", "replace")
        [raw] = await read(self._link, [command(b"GET", self._keys.meta(release))])
        if raw is None:
            raise UnreadableReleaseError(
                f"release {release} is live, but {self._keys.meta(release).decode()} is not there"
            )
        return release, raw

    async def _switch(self, identity: Identity) -> None:
        name, raw = identity
        began = time.monotonic()
        try:
            release = await load_release(self._link, self._keys, read_meta(raw, name), self._bound, self._hot)
        except UnreadableReleaseError:
            self.refusals += 1
            self._refused = identity, time.monotonic() + REFUSED_SECONDS
            raise
        self.current, self._loaded, self._refused = release, identity, None
        self.loads += 1
        # Else every full collection visits the dictionary and all modules, while visitors wait.
        gc.collect()
        gc.freeze()
        log.info(
            "release %s is live: %d products, %d generic lists in process%s, loaded in %.2f s",
            name,
            len(release.names),
            len(release.generic),
            "" if release.generic.complete else " (the others are read when asked for)",
            time.monotonic() - began,
        )
        await self._save(release)

    async def _save(self, release: ServedRelease) -> None:
        if self._folder is None:
            return
        try:
            await save_lists(release, self._folder)
        except OSError as error:
            log.warning("the snapshot of release %s could not be written: %s", release.name, error)

    def _restore(self) -> None:
        """Generic lists of the last release, until Redis gives one."""
        folder, self._folder_to_read = self._folder_to_read, None
        if folder is None:
            return
        try:
            self.current = load_lists(folder, self._keys)
        except FileNotFoundError:
            log.info("no snapshot in %s yet", folder)
        except SnapshotError as error:
            log.warning("%s", error)
        else:
            log.warning("serving the snapshot of release %s until Redis gives one", self.current.name)

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            serving = f"; still serving release {self.current.name}" if self.current else ""
            log.warning("%s%s", problem, serving)
        self.problem = problem
