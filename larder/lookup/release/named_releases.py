"""The releases that arms of experiments serve beside the live one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from typing import final

from larder.lookup.redis.link import Link
from larder.lookup.release.followed_release import SHORT_PAUSE, FollowedRelease
from larder.lookup.release.served_release import ServedRelease


@final
class NamedReleases:
    """Releases by name. Run `follow` as a task; `by_name` has those that are wanted, loaded or not."""

    def __init__(self, link: Link, make: Callable[[str], FollowedRelease], pause: float) -> None:
        """`make` returns a follower of a release; `pause` is the seconds between looks."""
        self.by_name: dict[str, FollowedRelease] = {}
        self._link = link
        self._make = make
        self._pause = pause

    def want(self, names: Set[str]) -> None:
        """Loads these releases, soon, and drops the others."""
        self.by_name = {name: self.by_name.get(name) or self._make(name) for name in sorted(names)}

    def served(self, name: str) -> ServedRelease | None:
        """Returns the release of this name, or None while it is not loaded."""
        followed = self.by_name.get(name)
        return followed.current if followed is not None else None

    def have_looked(self) -> bool:
        """Was each wanted release looked at once?"""
        return all([each.has_looked for each in self.by_name.values()])

    async def follow(self) -> None:
        """Looks at each wanted release until cancelled."""
        await self._link.first_attempt()
        while True:
            for each in list(self.by_name.values()):
                await each.step()
            all_loaded = all([each.is_loaded for each in self.by_name.values()])
            # Without any, a newly wanted one is to be loaded without delay.
            await asyncio.sleep(self._pause if self.by_name and all_loaded else min(self._pause, SHORT_PAUSE))
