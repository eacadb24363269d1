"""What the experiments in force give to a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from larder.experiments.running import BETWEEN_NAMES
from larder.lookup.answer.exploration import Explorer
from larder.lookup.answer.scenes import Scene
from larder.lookup.json_text import to_json
from larder.settings.experiments_section import LIVE


@final
class GivenArm:
    """The arm of one experiment that a request is in. `forced` if the caller named it, instead of its assignment."""

    def __init__(self, experiment: str, arm: str, forced: bool) -> None:
        self.experiment = experiment
        self.arm = arm
        self.forced = forced


@final
class Treatment:
    """The arms of a request, and what they change together. Objects are made once for each combination of arms.

    `experiment`, `arm`, `forced` and `policy` are what the journey log says: names of several experiments are joined by
    commas, and `policy` is "" if nothing is drawn. `release` is the name of the release that answers, or LIVE; `scene`
    stands in for that of the query. `as_json` is what the answer says.
    """

    def __init__(
        self,
        arms: Sequence[GivenArm],
        release: str = LIVE,
        scene: Scene | None = None,
        explorer: Explorer | None = None,
    ) -> None:
        self.experiment = BETWEEN_NAMES.join([each.experiment for each in arms])
        self.arm = BETWEEN_NAMES.join([each.arm for each in arms])
        self.forced = any([each.forced for each in arms])
        self.policy = explorer.label if explorer is not None else ""
        self.release = release
        self.scene = scene
        self.explorer = explorer
        told = [
            {"experiment": each.experiment, "arm": each.arm, **({"forced": True} if each.forced else {})}
            for each in arms
        ]
        self.as_json = b',"experiments":' + to_json(told)
