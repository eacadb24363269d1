"""A release's tables to Redis: staged under its own keys, counted and compared, and only then made live."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

import redis
from pyspark.sql import SparkSession

from larder.jobs.publishing.delta_release import DeltaRelease
from larder.jobs.publishing.redis_access import redis_of
from larder.jobs.publishing.release_loading import ReleaseLoading
from larder.jobs.publishing.whole_release import WholeRelease
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.loaders.lease import Lease
from larder.loaders.releases import VERIFIED, Release, ReleaseError, Releases, remedy
from larder.loaders.server_errors import LoadError, explained
from larder.loaders.server_limits import warn_of_eviction
from larder.loaders.servers import RedisServer, connect
from larder.models.hours import as_text
from larder.settings import Settings
from larder.storage import Tables

JOB = "load_redis"
LEASES_WAITED = 2  # so that a loader killed a moment ago holds nobody up for long


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession | None, arguments: argparse.Namespace) -> StageReport:
    """Publishes the release of arguments.as_of, in Spark tasks or, without a session, in threads.

    Raises ReleaseError (LoadError, LockError), with what to do about it, and MissingPartitionError. Whatever is
    raised, the pointer to the live release is as it was.
    """
    settings: Settings = arguments.settings
    with (
        stage(None, JOB, as_text(arguments.as_of)) as report,
        redis_of(settings.redis) as server,
    ):
        try:
            _publish(spark, server, arguments, report)
        except (redis.RedisError, OSError) as error:
            raise LoadError(explained(error)) from None
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session, or without one if the arguments say so."""
    with nullcontext() if arguments.without_spark else spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def _publish(
    spark: SparkSession | None, server: RedisServer, arguments: argparse.Namespace, report: StageReport
) -> None:
    settings: Settings = arguments.settings
    wait = LEASES_WAITED * settings.redis.lease_seconds if arguments.wait is None else arguments.wait
    client = connect(server)
    try:
        releases = Releases(client, settings.redis.namespace)
        if not arguments.delta:
            WholeRelease(Tables(settings.storage.tables), arguments.as_of, settings.redis)  # or say so before waiting
        with Lease(client, settings.redis.namespace, settings.redis.lease_seconds, wait) as lease:
            source = _source(releases, arguments, report)
            if source is None:
                report.details["skipped"] = "no release is live, over which lists could be laid"
                return
            if not arguments.stay and not arguments.even_if_older:
                _refuse_if_older(releases, source.as_of, arguments.delta)
            loading = ReleaseLoading(spark, server, releases, settings.redis, lease)
            _load_and_flip(loading, source, arguments, report)
        report.details |= {"release": source.name, "live": releases.live().release or "none"}
    finally:
        client.close()
    report.rows_in = report.rows_out = source.rows


def _source(
    releases: Releases, arguments: argparse.Namespace, report: StageReport
) -> WholeRelease | DeltaRelease | None:
    """Returns what is to be loaded; None for a delta if nothing is live yet."""
    settings: Settings = arguments.settings
    tables = Tables(settings.storage.tables)
    if not arguments.delta:
        return WholeRelease(tables, arguments.as_of, settings.redis)
    base = live_base(releases)
    if base is None:
        return None
    delta = DeltaRelease(tables, arguments.as_of, base, settings.redis)
    report.details |= {"over": base.name, "hours_left_out": delta.hours_left_out}
    return delta


def live_base(releases: Releases) -> Release | None:
    """Returns the whole release that is live, or that the live delta lies over. Raises ReleaseError if it is damaged.

    None if nothing is live.
    """
    name = releases.live().release
    if name is None:
        return None
    live = releases.find(name)
    base = releases.find(live.base) if live is not None and live.base else live
    if base is None:
        raise ReleaseError(f"release {name} is live and is not whole in the registry; {remedy(name)}")
    if problems := releases.completeness(base).problems:
        what = f"release {base.name}, which lists were to be laid over, {'; '.join(problems)}"
        raise ReleaseError(f"{what}; {remedy(base.name)}")
    return base


def _refuse_if_older(releases: Releases, as_of: str, is_delta: bool) -> None:
    """Raises ReleaseError if a later release is live.

    A whole release may take the place of a later delta over an older one: the next delta lies over it.
    """
    live = releases.find(releases.live().release or "")
    if live is not None and live.base and not is_delta:
        live = releases.find(live.base)
    if live is not None and live.as_of > as_of:
        raise ReleaseError(
            f"release {live.name}, which is live, is as of {live.as_of}, later than {as_of}; "
            "to go back, `larder rollback`; to load it all the same, --stay or --even-if-older"
        )


def _load_and_flip(
    loading: ReleaseLoading, source: WholeRelease | DeltaRelease, arguments: argparse.Namespace, report: StageReport
) -> None:
    """Loads what the server does not hold, and makes it live. "Up to date" is what was counted, not what is noted."""
    releases, settings = loading.releases, loading.settings
    if settings.check != "off":
        warn_of_eviction(releases.client)
    is_live = releases.live().release == source.name
    counted = {source.name}  # by every branch below, so the flip need not count it again
    if releases.state(source.name) != VERIFIED:
        loading.load(source.content(releases))
    elif problems := releases.problems(source.name):
        report.details["restored"] = "; ".join(problems)
        loading.load(source.content(releases))
    elif is_live:
        report.details["up_to_date"] = True
    if not arguments.stay:
        if not is_live:
            loading.lease.check()
            releases.flip(source.name, counted)
        # Also if it was live already: the run that made it so may have ended there.
        retired = releases.retire_beyond(settings.keep_releases, settings.retired_keys_per_second)
        report.details["retired"] = len(retired)
    loaded = releases.find(source.name)
    if loaded is not None and loaded.base:
        report.details |= {"changed": sum(loaded.records.values()), "new": loaded.added}


if __name__ == "__main__":
    with errors_in_a_line():
        main()
