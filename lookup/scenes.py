"""Scenes: which routes a place of the site asks, in which order, how many products of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lookup.routing import ROUTES
from settings.sections import Lookup

DEFAULT = "default"


class Step(NamedTuple):
    """One route of a scene: at most `most` products, and what Redis has not replied within `seconds` is left out."""

    route: str
    most: int
    seconds: float


class Scene(NamedTuple):
    """Steps in the order in which they fill the answer, and the same by route.

    `blend` takes from the routes in turn instead of one after the other; `n` holds where the caller names none.
    """

    name: str
    steps: tuple[Step, ...]
    by_route: Mapping[str, Step]
    blend: bool
    n: int


def scenes_from(settings: Lookup) -> Mapping[str, Scene]:
    """The scenes of the settings by name, and `default` with all routes where they name none so."""
    found = {DEFAULT: _scene(DEFAULT, settings, ROUTES, {}, False, None)}
    for name, scene in settings.scenes.items():
        most = {str(route): count for route, count in scene.most.items()}
        found[name] = _scene(name, settings, tuple(scene.routes), most, scene.blend, scene.n)
    return found


def _scene(
    name: str, settings: Lookup, routes: tuple[str, ...], most: Mapping[str, int], blend: bool, n: int | None
) -> Scene:
    limits: Mapping[str, int] = {str(route): limit for route, limit in settings.route_ms.items()}
    steps = tuple(
        Step(
            route,
            min(most.get(route, settings.max_n), settings.max_n),
            min(limits.get(route, settings.deadline_ms), settings.deadline_ms) / 1000,
        )
        for route in routes
    )
    return Scene(name, steps, {step.route: step for step in steps}, blend, min(n or settings.n, settings.max_n))
