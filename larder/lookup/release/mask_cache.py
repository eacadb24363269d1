"""Products that are masked for every visitor, such as those out of stock: kept in process, and checked for changes."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import islice
from pathlib import Path

from larder.loaders.keys import Keys
from larder.loaders.mask_changes import changed_products
from larder.lookup.json_text import encode_text
from larder.lookup.redis.background_read import ReadError, read
from larder.lookup.redis.link import Link
from larder.lookup.redis.redis_commands import command
from larder.lookup.release.snapshot import SnapshotError, load_masks, save_masks

# The number of names encoded before the event loop gets its turn.
TURN = 2000
# After reading all masks, which took some time, they are not read whole again for this many times as long.
PAUSE_TIMES = 10
LONGEST_PAUSE = 0.5
# The interval of snapshots, at least.
SAVE_SECONDS = 5.0

log = logging.getLogger("larder.lookup")


class MaskCache:
    """`names` has the masked products as JSON strings. Run `follow` as a task."""

    def __init__(self, link: Link, keys: Keys, pause: float, folder: Path | None = None) -> None:
        """`pause` is the seconds between two checks; `folder` is that of the snapshot."""
        self.names: set[bytes] = set()
        self.problem = ""
        self._link = link
        self._key = keys.masks
        self._pause = pause
        self._folder = folder
        self._encoded: dict[bytes, bytes] = {}
        # A snapshot may be older than what Redis has, even if that is nothing: the first look reads all masks.
        self._is_known = False
        self._version: bytes | None = None
        self._whole_from = 0.0
        self._is_saved = True
        self._save_from = 0.0

    async def follow(self) -> None:
        """Checks for changes until cancelled. While Redis does not reply, the known masks stay in force."""
        self._restore()
        await self._link.first_attempt()
        while True:
            try:
                await self.look()
                problem = ""
            except (ReadError, ValueError, TypeError, AttributeError) as error:
                # A malformed reply of Redis can lead to any of these.
                problem = f"masks cannot be looked up and stay as they are: {error}"
            if problem and problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
            self._save_if_due()
            await asyncio.sleep(self._pause)

    async def look(self) -> None:
        """Checks for changes once. Raises ReadError."""
        [version] = await read(self._link, [command(b"HGET", self._key, b"")])
        if self._is_known and version == self._version:
            return
        changed = changed_products(self._version, version) if self._is_known else None
        if changed is not None:
            await self._read_changed(changed)
        elif time.monotonic() >= self._whole_from:
            await self._read_whole()
        else:
            return
        self._version, self._is_known = version, True
        self._is_saved = False

    async def _read_changed(self, products: list[str]) -> None:
        """Reads the masks of some products. Later changes that are seen too do no harm: they are read again."""
        ids = [product.encode("utf-8", "surrogatepass") for product in products]
        replies = await read(self._link, [command(b"HGET", self._key, each) for each in ids]) if ids else []
        for each, reply in zip(ids, replies, strict=True):
            if reply is None:
                self.names.discard(self._encoded.pop(each, b""))
            else:
                self._encoded[each] = encode_text(each.decode("utf-8", "replace"))
                self.names.add(self._encoded[each])

    async def _read_whole(self) -> None:
        began = time.monotonic()
        # A change between the two commands has another version, which the next look sees.
        [flat] = await read(self._link, [command(b"HGETALL", self._key)])
        ids = (product for product in flat[::2] if product)
        encoded: dict[bytes, bytes] = {}
        while some := list(islice(ids, TURN)):
            for each in some:
                encoded[each] = self._encoded.get(each) or encode_text(each.decode("utf-8", "replace"))
            await asyncio.sleep(0)
        self._encoded, self.names = encoded, set(encoded.values())
        now = time.monotonic()
        self._whole_from = now + min(LONGEST_PAUSE, PAUSE_TIMES * (now - began))

    def _save_if_due(self) -> None:
        if self._folder is None or self._is_saved or time.monotonic() < self._save_from:
            return
        self._is_saved, self._save_from = True, time.monotonic() + SAVE_SECONDS
        try:
            save_masks(self.names, self._folder)
        except OSError as error:
            log.warning("the snapshot of the masks could not be written: %s", error)

    def _restore(self) -> None:
        if self._folder is None:
            return
        try:
            self.names = set(load_masks(self._folder))
        except SnapshotError as error:
            log.warning("%s", error)
