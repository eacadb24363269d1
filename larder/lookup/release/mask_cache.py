"""Products that nobody is shown, such as those out of stock: kept in process, and looked up several times a second."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from pathlib import Path

from larder.loaders.keys import Keys
from larder.lookup.json_text import encode_text
from larder.lookup.redis.background_read import ReadError, read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.snapshot import SnapshotError, load_masks, save_masks

# Names encoded between two turns of the event loop.
TURN = 2000

log = logging.getLogger("larder.lookup")


class MaskCache:
    """`names` are the masked products as an answer would name them. `follow` must be a task."""

    def __init__(self, link: Link, keys: Keys, pause: float, folder: Path | None = None) -> None:
        """`pause` in seconds between two looks; `folder` of the snapshot."""
        self.names: frozenset[bytes] = frozenset()
        self.problem = ""
        self._link = link
        self._key = keys.masks
        self._pause = pause
        self._folder = folder
        self._version: bytes | None = None

    async def follow(self) -> None:
        """Looks until cancelled. What is known stays where Redis does not reply."""
        self._restore()
        await self._link.first_attempt()
        while True:
            try:
                await self.look()
                problem = ""
            except (ReadError, ValueError, TypeError, AttributeError) as error:
                # Also what a Redis that replies nonsense leads to.
                problem = f"masks cannot be looked up and stay as they are: {error}"
            if problem and problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
            await asyncio.sleep(self._pause)

    async def look(self) -> None:
        """One look. Raises ReadError."""
        [version] = await read(self._link, [command(b"HGET", self._key, b"")])
        if version == self._version:
            return
        # A change between the two commands has another version, which the next look sees.
        [flat] = await read(self._link, [command(b"HGETALL", self._key)])
        ids = (product.decode("utf-8", "replace") for product in flat[::2] if product)
        names: list[bytes] = []
        while some := list(islice(ids, TURN)):
            names += map(encode_text, some)
            await asyncio.sleep(0)
        self.names, self._version = frozenset(names), version
        self._save()

    def _save(self) -> None:
        if self._folder is None:
            return
        try:
            save_masks(self.names, self._folder)
        except OSError as error:
            log.warning("the snapshot of the masks could not be written: %s", error)

    def _restore(self) -> None:
        if self._folder is None:
            return
        try:
            self.names = load_masks(self._folder)
        except SnapshotError as error:
            log.warning("%s", error)
