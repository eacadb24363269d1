"""Scenes: the routes of a named place on the site, their order, and the number of products of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from larder.lookup.answer.routes import ROUTES
from larder.settings import LookupSettings
from larder.settings.lookup_section import SceneSettings

DEFAULT: Final = "default"


@final
class Step:
    """One route of a scene: it gives at most `most` products, and is skipped if Redis takes longer than `seconds`."""

    def __init__(self, route: str, most: int, seconds: float) -> None:
        self.route = route
        self.most = most
        self.seconds = seconds


@final
class Scene:
    """The steps in the order in which they fill the answer, also by route.

    With `blend`, products are taken from the routes in turn instead of route after route. `n` is the default number of
    products.
    """

    def __init__(self, name: str, steps: list[Step], blend: bool, n: int) -> None:
        self.name = name
        self.steps = steps
        self.by_route = {step.route: step for step in steps}
        self.blend = blend
        self.n = n


def scenes_from(settings: LookupSettings) -> Mapping[str, Scene]:
    """Returns the scenes in the settings by name, and a `default` scene with all routes if they have none."""
    found = {DEFAULT: _scene(DEFAULT, settings, ROUTES, {}, False, None)}
    for name, scene in settings.scenes.items():
        found[name] = scene_from(name, settings, scene)
    return found


def scene_from(name: str, settings: LookupSettings, scene: SceneSettings) -> Scene:
    """Returns one scene, within the limits of the settings."""
    most = {str(route): count for route, count in scene.most.items()}
    return _scene(name, settings, tuple(scene.routes), most, scene.blend, scene.n)


def _scene(
    name: str, settings: LookupSettings, routes: tuple[str, ...], most: Mapping[str, int], blend: bool, n: int | None
) -> Scene:
    limits: Mapping[str, int] = {str(route): limit for route, limit in settings.route_ms.items()}
    steps = [
        Step(
            route,
            min(most.get(route, settings.max_n), settings.max_n),
            min(limits.get(route, settings.deadline_ms), settings.deadline_ms) / 1000,
        )
        for route in routes
    ]
    return Scene(name, steps, blend, min(n or settings.n, settings.max_n))
