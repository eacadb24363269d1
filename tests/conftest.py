"""What tests of several folders need: a clean environment, and one Spark session for all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import hypothesis
import pytest

from larder.settings import Settings, SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from spark_cluster import Cluster

# A developer's own settings must not change what a test sees.
for _name in [name for name in os.environ if name.startswith("LARDER_")]:
    del os.environ[_name]
# A JVM that lives for a minute gains nothing from its second compiler; jobs in processes of their own have it too.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# Begun first, since tests of one module run in one process: the others have something to do until these end.
LONGEST_MODULES = (
    "test_whole_path.py",
    "test_data_parallel.py",
    "test_evaluate.py",
    "test_lookup_installed.py",
    "test_killed_jobs.py",
)

# A first example may compile a kernel, or start a server.
hypothesis.settings.register_profile("larder", deadline=None)
hypothesis.settings.load_profile("larder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the modules: the longest first, then those that start servers or whole jobs, then the quick ones."""
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path.name, []).append(item)
    items.sort(key=lambda item: _place_of_module(item.path.name, modules[item.path.name]))


def _place_of_module(name: str, items: Sequence[pytest.Item]) -> int:
    if name in LONGEST_MODULES:
        return LONGEST_MODULES.index(name)
    starts_servers = any(item.get_closest_marker("end_to_end") for item in items)
    return len(LONGEST_MODULES) + (0 if starts_servers else 1)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A local session on two cores, as a job has it, with few partitions."""
    from larder.jobs.runtime.session import start_session

    session = start_session("tests", Settings(spark=SparkSettings(shuffle_partitions=4)))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from spark_cluster import spark_cluster

    with spark_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """A standalone cluster with two workers, whatever the test before did to it. Jobs must run in other processes."""
    _cluster.complete()
    return _cluster
