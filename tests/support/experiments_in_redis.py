"""Experiments for tests of the endpoint, written to Redis as `larder experiment start` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import redis
from lookup_servers import KEYS

from larder.experiments.running import RunningExperiment, RunningExperiments, started
from larder.settings.experiments_section import LIVE, ExperimentSettings

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def running(arms: Mapping[str, Mapping[str, Any]], **settings: Any) -> RunningExperiment:
    """An experiment that was started; arms with a release name it."""
    wanted = ExperimentSettings.model_validate({"arms": arms, **settings})
    return started(wanted, {name: arm.release for name, arm in wanted.arms.items()}, START)


def put(client: redis.Redis, **experiments: RunningExperiment) -> None:
    """Writes these experiments, and no others."""
    client.set(KEYS.experiments, RunningExperiments(running=experiments).model_dump_json(by_alias=True))


EQUAL = {"a": {"share": 0.5, "release": LIVE}, "b": {"share": 0.5, "release": LIVE}}
