"""The experiments in force, as they lie in Redis: what was started, and who is in which arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import combinations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from larder.experiments.assignment import SPACE, arm_at, assignment_number, segments_of, shifted
from larder.settings.experiments_section import LIVE, ArmSettings, ExperimentSettings, Name

# The parts of an answer that an arm may change: in one scene, each is one experiment's matter.
FACETS = ("release", "scene", "explore")
BETWEEN_NAMES = ","  # in the journey log, between the names of several experiments, and of their arms


class InvalidExperimentError(ValueError):
    """An experiment can't be put in force or read; the message says what is wrong and what to do."""


class Shares(BaseModel):
    """The share of each arm from a moment on."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    shares: dict[str, float]


class RunningExperiment(BaseModel):
    """A started experiment.

    `releases` has the name of the release of each arm, or "live". `segments` says which numbers are in which arm;
    `history` has the shares since the start, oldest first.
    """

    model_config = ConfigDict(frozen=True)

    settings: ExperimentSettings
    releases: dict[str, str]
    segments: tuple[tuple[Annotated[int, Field(gt=0, le=SPACE)], str], ...]
    history: tuple[Shares, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def names_its_arms(self) -> RunningExperiment:
        arms = set(self.settings.arms)
        ends = [end for end, _ in self.segments]
        if ends != sorted(set(ends)):
            raise ValueError("the ends of segments must rise")
        if unknown := {arm for _, arm in self.segments if arm} - arms or arms ^ set(self.releases):
            raise ValueError(f"arms without settings or release: {', '.join(sorted(unknown))}")
        return self

    def is_in_force(self, moment: datetime) -> bool:
        """Is the moment within `from` and `until` of the settings?"""
        begin, end = self.settings.from_, self.settings.until
        return (begin is None or begin <= moment) and (end is None or moment < end)

    def layer(self, name: str) -> str:
        """Returns the layer; by default, the experiment's name."""
        return self.settings.layer or name

    def salt(self, name: str) -> str:
        """Returns the salt; by default, the experiment's name."""
        return self.settings.salt or name

    def number_of(self, name: str, unit: str) -> int:
        """Returns the assignment number of a cookie or request."""
        return assignment_number(self.salt(name), self.layer(name), unit)

    def arm_of(self, name: str, unit: str) -> str:
        """Returns the arm of a cookie or request, "" for none."""
        return arm_at(self.segments, self.number_of(name, unit))

    def with_shares(self, shares: Mapping[str, float], now: datetime) -> RunningExperiment:
        """Returns the experiment with other shares, moving as few visitors as possible.

        Arms that are not named keep their share. Raises InvalidExperimentError.
        """
        arms = self.settings.arms
        if unknown := sorted(set(shares) - set(arms)):
            raise InvalidExperimentError(f"no such arm: {', '.join(unknown)}; there are {', '.join(arms)}")
        changed = {name: arm.model_copy(update={"share": shares.get(name, arm.share)}) for name, arm in arms.items()}
        try:
            found = ExperimentSettings.model_validate(
                self.settings.model_copy(update={"arms": changed}).model_dump(exclude_unset=False)
            )
        except ValidationError as error:
            raise InvalidExperimentError("; ".join(each["msg"] for each in error.errors())) from None
        wanted = {name: arm.share for name, arm in changed.items()}
        return self.model_copy(
            update={
                "settings": found,
                "segments": shifted(self.segments, wanted),
                "history": (*self.history, Shares(since=now, shares=wanted)),
            }
        )


class RunningExperiments(BaseModel):
    """All experiments in force, by name. `format` is raised when older endpoints must not read it."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    running: dict[Name, RunningExperiment] = Field(default_factory=dict)

    def releases(self) -> set[str]:
        """Returns the names of the releases that an arm serves beside the live one."""
        return {release for each in self.running.values() for release in each.releases.values()} - {LIVE}


NONE = RunningExperiments()


def read_running(raw: bytes | None) -> RunningExperiments:
    """Returns the experiments in the value of Redis' key; none without a value. Raises InvalidExperimentError."""
    if not raw:
        return NONE
    try:
        return RunningExperiments.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidExperimentError(f"the experiments in Redis can't be read: {place}: {first['msg']}") from None


def started(settings: ExperimentSettings, releases: Mapping[str, str], now: datetime) -> RunningExperiment:
    """Returns an experiment that starts now. `releases` has the release of each arm by name, or "live"."""
    shares = {name: arm.share for name, arm in settings.arms.items()}
    return RunningExperiment(
        settings=settings,
        releases=dict(releases),
        segments=segments_of(shares),
        history=(Shares(since=now, shares=shares),),
    )


def conflicts(experiments: RunningExperiments) -> Iterator[str]:
    """Yields a sentence for each pair of experiments that can't run in one scene at a time."""
    for (name, one), (other_name, other) in combinations(experiments.running.items(), 2):
        common = _common_scenes(one.settings, other.settings)
        if not common:
            continue
        if one.layer(name) == other.layer(other_name):
            yield f"{name} and {other_name} are in layer {one.layer(name)}, and both run in {common}"
        for facet in FACETS:
            if _changes(one.settings, facet) and _changes(other.settings, facet):
                yield f"{name} and {other_name} both change the {facet} of {common}"


def _common_scenes(one: ExperimentSettings, other: ExperimentSettings) -> str:
    """Returns the scenes in which both run, in words; "" if there are none."""
    if not one.scenes and not other.scenes:
        return "all scenes"
    common = set(one.scenes or other.scenes) & set(other.scenes or one.scenes)
    return ", ".join(sorted(common))


def _changes(settings: ExperimentSettings, facet: str) -> bool:
    default = ArmSettings.model_fields[facet].default
    return any(getattr(arm, facet) != default for arm in settings.arms.values())
