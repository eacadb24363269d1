"""Follows the live release, or one by name: loads it, switches to a new one, and checks that it is still complete."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from larder.loaders.keys import Keys
from larder.lookup.answer.reasons import RELEASE_GONE
from larder.lookup.redis.background_read import ReadError, read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.loss_detection import GENERIC, LossDetector
from larder.lookup.release.served_release import ServedRelease, UnreadableReleaseError, load_release, read_meta
from larder.lookup.release.snapshot import SnapshotError, load_lists, save_lists
from larder.lookup.release.unknown_share import UnknownShare

# A refused release is tried again after this time, or when the pointer or its meta changes.
REFUSED_SECONDS = 30.0
# Absent records are looked for again after this time, in case a reload was too quick to be noticed.
ABSENCE_SECONDS = 30.0
# The interval of looks while no release is loaded, or the live one is missing.
SHORT_PAUSE = 0.2

POINTER, META, REGISTRY, UNKNOWN_COOKIES = "pointer", "meta", "registry", "unknown_cookies"
REMEDY = "restore it with `larder repair-release`"

log = logging.getLogger("larder.lookup")

Identity = tuple[str, bytes, bytes | None]


class MissingReleaseError(UnreadableReleaseError):
    """The pointer to the live release, or its meta, is not in Redis. `part` is which of them."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


class FollowedRelease:
    """The release that the pointer names, or with `name` always the one of that name.

    `current` is the release to answer from, or None; `problem` is what is wrong with the followed release, or "".
    `losses` has the number of missing records or keys of the served release, by part. `has_looked` after the first
    look, whatever it found.
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        pause: float,
        bound: int,
        cached_records: int,
        folder: Path | None,
        personal_lists: Callable[[], tuple[int, int]] = lambda: (0, 0),
        name: str = "",
    ) -> None:
        """`pause` is the seconds between looks; `bound` and `cached_records`: see load_release.

        `folder` is that of the snapshot. `personal_lists` returns the numbers of cookies so far, and of unknown ones.
        """
        self.current: ServedRelease | None = None
        self.losses: dict[str, int] = {}
        self.has_looked = False
        self.loads = 0
        self.refusals = 0
        self.unknown_share = UnknownShare(personal_lists)
        self._link = link
        self._keys = keys
        self._name = name
        self.problem = f"{self._called} has not been looked up yet"
        self._pause = pause
        self._bound = bound
        self._cached_records = cached_records
        self._folder = self._folder_to_read = folder
        self._loaded: Identity | None = None
        self._refused: tuple[Identity, float] | None = None
        self._detector: LossDetector | None = None
        self._refused_detector: LossDetector | None = None
        self._lacks_generic = False
        self._was_registered = False
        self._forget_at = 0.0

    async def follow(self) -> None:
        """Looks at the release until cancelled."""
        await self._link.first_attempt()
        while True:
            await self.step()
            await asyncio.sleep(self._pause if self.is_loaded else min(self._pause, SHORT_PAUSE))

    @property
    def is_loaded(self) -> bool:
        """Is the followed release the one that is served?"""
        return self._loaded is not None

    async def step(self) -> None:
        """Looks at the release once, and notes what is wrong with it. Raises nothing."""
        try:
            await self.look()
            self._note("")
        except ReadError as error:
            self._doubt()
            self._note(f"{self._called} cannot be looked up: {error}")
        except MissingReleaseError as error:
            await self._lose(error.part)
            self._note(str(error))
        except UnreadableReleaseError as error:
            self._note(str(error))
        except Exception as error:
            self._doubt()
            log.exception("looking up %s failed", self._called)
            self._note(repr(error))
        if self.current is None:
            self._restore()
        self.has_looked = True

    @property
    def _called(self) -> str:
        return f"release {self._name}" if self._name else "the live release"

    async def look(self) -> None:
        """Loads the release if it is another one, else checks it. Raises ReadError, UnreadableReleaseError."""
        identity = await self._wanted()
        if identity == self._loaded:
            await self._check()
            return
        if self._refused and self._refused[0] == identity and time.monotonic() < self._refused[1]:
            await self._check_refused()
        await self._switch(identity)

    async def _check_refused(self) -> None:
        """Checks the served release, and raises the refusal of the live one unless nothing of that is missing now."""
        problem = self.problem
        with suppress(UnreadableReleaseError):
            await self._check()
        refused = self._refused_detector
        if refused is None or (await refused.check()).losses:
            raise UnreadableReleaseError(problem)

    async def _wanted(self) -> Identity:
        """Returns what identifies the release: name, meta, and the pointer's field `generation` if it has one.

        The name alone is not enough, because it may come again with other records.
        """
        if self._name:
            return self._name, await self._meta(self._name), None
        [flat] = await read(self._link, [command(b"HGETALL", self._keys.live)])
        pointer = dict(zip(flat[::2], flat[1::2], strict=True))
        name = pointer.get(b"release")
        if not name:
            raise MissingReleaseError(POINTER, f"no release is live yet: {self._keys.live.decode()} is not there")
        release = name.decode("utf-8", "replace")
        return release, await self._meta(release), pointer.get(b"generation")

    async def _meta(self, release: str) -> bytes:
        [raw] = await read(self._link, [command(b"GET", self._keys.meta(release))])
        if raw is None:
            wanted = "wanted by an experiment" if self._name else "live"
            raise MissingReleaseError(
                META, f"release {release} is {wanted}, but {self._keys.meta(release).decode()} is not there"
            )
        return bytes(raw)

    async def _check(self) -> None:
        """Checks the served release. Raises ReadError, and UnreadableReleaseError if something is missing."""
        release, detector = self.current, self._detector
        if release is None or detector is None:
            return
        losses, is_replaced = await detector.check()
        if is_replaced:
            log.warning("release %s holds other records than before; it is loaded again", release.name)
            await self._lose(META)
            self._loaded = None
            return
        if self._lacks_generic and GENERIC not in losses:
            log.info("the generic lists of release %s are complete again; it is loaded again", release.name)
            self._loaded = None
        release.unreadable = ""
        await self._take_stock(release, losses)

    async def _take_stock(self, release: ServedRelease, losses: dict[str, int]) -> None:
        """Notes what is missing. Raises UnreadableReleaseError if it is more than the registry's entry."""
        [entry] = await read(self._link, [command(b"HGET", self._keys.releases, release.name.encode())])
        noted = dict(losses)
        if entry is None:
            noted[REGISTRY] = 1
        if rise := self.unknown_share.rise():
            noted[UNKNOWN_COOKIES] = rise
        if losses or time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + ABSENCE_SECONDS
            release.forget_absent()
        release.trusts_absence = not losses
        self.losses = noted
        if losses:
            missing = ", ".join(f"{count} of {part}" for part, count in sorted(losses.items()))
            raise UnreadableReleaseError(f"release {release.name} has lost records in Redis ({missing}); {REMEDY}")
        if entry is None and self._was_registered:
            raise UnreadableReleaseError(
                f"release {release.name} has no entry in {self._keys.releases.decode()} any more; {REMEDY}"
            )
        if rise:
            raise UnreadableReleaseError(
                f"far more cookies than before have no list in release {release.name}; records may be missing, "
                "or the shop's cookie ids changed"
            )
        self._was_registered = self._was_registered or entry is not None

    def _doubt(self) -> None:
        """Believes no nil from now on, and forgets those that were believed: Redis may have been emptied."""
        if self.current is not None:
            self.current.trusts_absence = False
            self.current.forget_absent()

    async def _lose(self, part: str) -> None:
        """The pointer or the meta is missing: the release is loaded anew when they are back.

        If the dictionary is gone too, or is another one, records under the release's name must not be read any more.
        """
        self._doubt()
        self._loaded = None
        self.losses = {part: 1}
        release, detector = self.current, self._detector
        if release is None or detector is None:
            return
        try:
            if await detector.is_dictionary_changed():
                release.unreadable = RELEASE_GONE
        except ReadError as error:
            log.warning("the dictionary cannot be checked: %s", error)

    async def _switch(self, identity: Identity) -> None:
        name, raw, _ = identity
        began = time.monotonic()
        self._refused_detector = None
        try:
            release = await load_release(
                self._link, self._keys, read_meta(raw, name), self._bound, self._cached_records
            )
            detector = LossDetector(self._link, self._keys, release)
            losses, is_replaced, problem = await _first_check(detector)
            if is_replaced:
                raise UnreadableReleaseError(f"release {name} was changed while it was read")
            if losses and self._serves_sound_release(name):
                self._refused_detector = detector
                missing = ", ".join(f"{count} of {part}" for part, count in sorted(losses.items()))
                raise UnreadableReleaseError(f"release {name} is not complete in Redis ({missing}); {REMEDY}")
        except UnreadableReleaseError:
            self.refusals += 1
            self._refused = identity, time.monotonic() + REFUSED_SECONDS
            raise
        self.current, self._loaded, self._refused, self._detector = release, identity, None, detector
        self.loads += 1
        self._was_registered = False
        self._lacks_generic = GENERIC in losses
        self.unknown_share.restart()
        # Otherwise every full collection would visit the dictionary and all modules, while requests wait.
        gc.collect()
        gc.freeze()
        log.info(
            "release %s is %s: %d products, %d generic lists in process%s, loaded in %.2f s",
            name,
            "served to an experiment's arms" if self._name else "live",
            len(release.names),
            len(release.generic),
            "" if release.generic.complete else " (the others are read when asked for)",
            time.monotonic() - began,
        )
        await self._save(release)
        if problem:
            raise ReadError(problem)
        await self._take_stock(release, losses)

    def _serves_sound_release(self, name: str) -> bool:
        """Is another release served, of which nothing is known to be missing?"""
        current = self.current
        return current is not None and current.name != name and not current.unreadable and not self.losses

    async def _save(self, release: ServedRelease) -> None:
        if self._folder is None or not len(release.generic):
            return
        try:
            await save_lists(release, self._folder)
        except OSError as error:
            log.warning("the snapshot of release %s could not be written: %s", release.name, error)

    def _restore(self) -> None:
        """Serves the generic lists of the snapshot until a release can be loaded from Redis."""
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


async def _first_check(detector: LossDetector) -> tuple[dict[str, int], bool, str]:
    """Returns the result of a check, and why there is none: a release that can be read is served all the same."""
    try:
        return *await detector.check(), ""
    except ReadError as error:
        return {}, False, f"its records cannot be counted: {error}"
