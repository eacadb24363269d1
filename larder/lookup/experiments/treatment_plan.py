"""What each request gets from the experiments in force, prepared so that a lookup costs a hash for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

import xxhash

from larder.experiments.assignment import SEED, SEPARATOR
from larder.experiments.running import RunningExperiment
from larder.lookup.answer.exploration import Explorer
from larder.lookup.answer.scenes import Scene, scene_from
from larder.lookup.answer.treatment import GivenArm, Treatment
from larder.lookup.http.http_errors import BadRequestError
from larder.lookup.http.query import RecommendationQuery
from larder.settings import LookupSettings
from larder.settings.experiments_section import LIVE, ArmSettings

NO_ARM: Final = 0
# Of each arm there are two choices: without and with exploration.
FIRST_CHOICE: Final = 1
CHOICES_OF_AN_ARM: Final = 2
BETWEEN: Final = ":"


@final
class PlannedExperiment:
    """An experiment in force.

    A choice is NO_ARM, or an arm with or without exploration; `choices` is the number of choices that there are.
    """

    def __init__(self, name: str, running: RunningExperiment) -> None:
        self.name = name
        self.arm_names = list(running.settings.arms)
        self.arms: list[ArmSettings] = list(running.settings.arms.values())
        self.releases = [running.releases[each] for each in self.arm_names]
        self.choices = FIRST_CHOICE + CHOICES_OF_AN_ARM * len(self.arms)
        salt = running.salt(name)
        self.explorers = [Explorer(each.explore, salt) if each.explore is not None else None for each in self.arms]
        self._by_cookie = running.settings.unit == "cookie"
        self._prefix = f"{salt}{SEPARATOR}{running.layer(name)}{SEPARATOR}".encode("utf-8", "surrogatepass")
        self._ends = [end for end, _ in running.segments]
        self._places = [self.arm_names.index(arm) if arm else -1 for _, arm in running.segments]

    def choice(self, cookie: str, request_id: bytes) -> int:
        """Returns the choice that a request is assigned to."""
        if not self._by_cookie:
            unit = request_id
        elif cookie:
            unit = cookie.encode()
        else:
            return NO_ARM
        number = xxhash.xxh64_intdigest(self._prefix + unit, SEED) >> 32
        for place in range(len(self._ends)):
            if number < self._ends[place]:
                return self.choice_of(self._places[place], cookie, request_id)
        return NO_ARM

    def choice_of(self, arm: int, cookie: str, request_id: bytes) -> int:
        """Returns the choice of an arm, given by its index, for a request."""
        if arm < 0:
            return NO_ARM
        explorer = self.explorers[arm]
        choice = FIRST_CHOICE + CHOICES_OF_AN_ARM * arm
        if explorer is None:
            return choice
        unit = cookie if self._by_cookie and cookie else request_id.decode()
        return choice + 1 if explorer.explores_for(unit) else choice


@final
class ScenePlan:
    """The experiments in force in one scene, at least one, and the treatments that they lead to."""

    def __init__(self, scene: Scene, experiments: Sequence[PlannedExperiment], limits: LookupSettings) -> None:
        self._scene = scene
        self._experiments = list(experiments)
        self._limits = limits
        self._made: dict[int, Treatment] = {}

    def treatment(self, query: RecommendationQuery, request_id: bytes) -> Treatment | None:
        """Returns what the request is assigned to; None if it takes part in nothing."""
        code = 0
        for each in self._experiments:
            code = code * each.choices + each.choice(query.cookie, request_id)
        if not code:
            return None
        found = self._made.get(code)
        if found is None:
            found = self._made[code] = self._treatment(self._choices(code), "")
        return found

    def forced(self, query: RecommendationQuery, request_id: bytes) -> Treatment:
        """Returns the same with the arm that the query names, as EXPERIMENT:ARM. Raises BadRequestError."""
        name, _, arm = query.arm.partition(BETWEEN)
        choices = []
        forced = ""
        for each in self._experiments:
            if each.name == name and arm in each.arm_names:
                forced = name
                choices.append(each.choice_of(each.arm_names.index(arm), query.cookie, request_id))
            else:
                choices.append(each.choice(query.cookie, request_id))
        if not forced:
            raise unknown_arm([f"{each.name}{BETWEEN}{arm}" for each in self._experiments for arm in each.arm_names])
        return self._treatment(choices, forced)

    def _choices(self, code: int) -> list[int]:
        choices = []
        for each in reversed(self._experiments):
            choices.append(code % each.choices)
            code //= each.choices
        return choices[::-1]

    def _treatment(self, choices: Sequence[int], forced: str) -> Treatment:
        """Returns the treatment of one choice for each experiment; of two that change the same, the last one counts."""
        arms: list[GivenArm] = []
        release, scene = LIVE, None
        explorer: Explorer | None = None
        for each, choice in zip(self._experiments, choices, strict=True):
            if choice == NO_ARM:
                continue
            place, explores = divmod(choice - FIRST_CHOICE, CHOICES_OF_AN_ARM)
            arms.append(GivenArm(each.name, each.arm_names[place], each.name == forced))
            if each.releases[place] != LIVE:
                release = each.releases[place]
            of_scene = each.arms[place].scene
            if of_scene is not None:
                scene = scene_from(self._scene.name, self._limits, of_scene)
            if explores:
                explorer = each.explorers[place]
        return Treatment(arms, release, scene, explorer)


@final
class TreatmentPlan:
    """The experiments in force, by scene."""

    def __init__(
        self, experiments: Mapping[str, RunningExperiment], scenes: Mapping[str, Scene], limits: LookupSettings
    ) -> None:
        planned = {name: PlannedExperiment(name, each) for name, each in experiments.items()}
        self._by_scene: dict[str, ScenePlan] = {}
        for name, scene in scenes.items():
            of_scene = [
                planned[each] for each, running in experiments.items() if name in (running.settings.scenes or (name,))
            ]
            if of_scene:
                self._by_scene[name] = ScenePlan(scene, of_scene, limits)

    def treatment(self, query: RecommendationQuery, request_id: bytes) -> Treatment | None:
        """Returns what a request gets; None if it takes part in nothing. Raises BadRequestError for an unknown arm."""
        plan = self._by_scene.get(query.scene.name)
        if query.arm:
            if plan is None:
                raise unknown_arm([])
            return plan.forced(query, request_id)
        return plan.treatment(query, request_id) if plan is not None else None


def unknown_arm(there: Sequence[str]) -> BadRequestError:
    """Returns the error for an arm that is not in force in the query's scene. `there` has those that are."""
    in_force = ", ".join(there) or "no experiment is in force in this scene"
    return BadRequestError(400, "unknown_arm", f"arm must name an arm as EXPERIMENT{BETWEEN}ARM; {in_force}")
