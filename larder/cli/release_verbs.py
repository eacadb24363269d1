"""What operators do with releases: see them, check and restore them, go back, remove, compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from larder.cli.connected_redis import connected
from larder.cli.experiment_verbs import print_experiments
from larder.cli.settings_option import SettingsFile
from larder.jobs.runtime.printable_text import printable
from larder.loaders.differences import difference, release_of
from larder.loaders.experiment_store import ExperimentStore
from larder.loaders.keys import COOKIES, KIND_NAMES, KINDS
from larder.loaders.lease import Lease
from larder.loaders.releases import Releases
from larder.loaders.server_errors import errors_explained
from larder.loaders.servers import connect
from larder.loaders.verification import verify as verify_release
from larder.settings import Settings, load_settings
from larder.settings.experiments_section import LIVE

verbs = typer.Typer()
LEASES_WAITED = 2  # so that a loader killed a moment ago holds nobody up for long

Named = typer.Argument(help="A release of `larder status`, or `live`, or `previous`.")


@verbs.command()
def status(settings_file: SettingsFile = None) -> None:
    """List the releases and experiments in Redis."""
    settings = load_settings(settings_file)
    with _releases(settings) as releases:
        _print_status(releases)
        if running := (found := ExperimentStore(releases.client, settings.redis.namespace).all()).running:
            print()
            print_experiments(found, datetime.now(timezone.utc))
        for name, each in running.items():
            for release in set(each.releases.values()) - {LIVE}:
                for problem in releases.problems(release):
                    print(f"experiment {name}: release {problem}; the live release answers in its place")


@verbs.command("releases", hidden=True)
def releases_verb(settings_file: SettingsFile = None) -> None:
    """List the releases in Redis: the same as `status`."""
    status(settings_file)


@verbs.command()
def verify(name: Annotated[str, Named] = "live", settings_file: SettingsFile = None) -> None:
    """Count a release's records, and decode some of them."""
    with _releases(load_settings(settings_file)) as releases:
        found = verify_release(releases, release_of(releases, name).name)
        counts = ", ".join(f"{found.records.get(kind, 0):,} {KIND_NAMES[kind]}" for kind in KINDS)
        print(f"complete: lists of {counts}, {found.decoded:,} of them decoded; {found.products:,} products")


@verbs.command()
def rollback(
    to: Annotated[
        str | None, typer.Option(help="A release of `larder status`. Default: the one that was live before.")
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Make the release before the live one live again."""
    with _releases(load_settings(settings_file)) as releases:
        releases.rollback(to)
        _print_status(releases)


@verbs.command()
def retire(name: Annotated[str, Named], settings_file: SettingsFile = None) -> None:
    """Remove a release that is not live."""
    settings = load_settings(settings_file)
    with (
        _releases(settings) as releases,
        Lease(releases.client, settings.redis.namespace, settings.redis.lease_seconds),
    ):
        releases.remove(release_of(releases, name), settings.redis.retired_keys_per_second)
        _print_status(releases)


@verbs.command("repair-release")
def repair_release(
    name: Annotated[
        str, typer.Argument(help="A release of `larder status`. Default: the live one, else the newest of the tables.")
    ] = "",
    settings_file: SettingsFile = None,
) -> None:
    """Restore a damaged release from its tables.

    Every list is written again, and those of its base if it is a delta, in redis.threads threads; then all are
    counted. It works whatever is left of the release in Redis. If no release is live, the restored one is made live.
    """
    from larder.jobs.publishing.redis_access import redis_of
    from larder.jobs.publishing.release_loading import ReleaseLoading
    from larder.jobs.publishing.release_repair import repair
    from larder.storage import Tables

    settings = load_settings(settings_file)
    with redis_of(settings.redis) as server, closing(connect(server)) as client:
        releases = Releases(client, settings.redis.namespace)
        wait = LEASES_WAITED * settings.redis.lease_seconds
        with errors_explained(), Lease(client, settings.redis.namespace, settings.redis.lease_seconds, wait) as lease:
            loading = ReleaseLoading(None, server, releases, settings.redis, lease)
            done = repair(loading, Tables(settings.storage.tables), name)
        for problem in done.problems or ["nothing was missing"]:
            print(f"before: {problem}")
        print(f"restored: {', '.join(done.names)}" + ("; made live, since no release was" if done.made_live else ""))
        if done.found:
            print(f"found again, and registered: {', '.join(map(printable, done.found))}")
        _print_status(releases)


@verbs.command()
def diff(
    before: Annotated[str, Named] = "previous",
    after: Annotated[str, Named] = "live",
    kind: Annotated[str, typer.Option(help="Kind of lists: c for cookies, p for products, g for contexts.")] = COOKIES,
    show: Annotated[int, typer.Option(help="Print the 64-bit keys of this many lists that changed.")] = 0,
    settings_file: SettingsFile = None,
) -> None:
    """Count the lists that changed between two releases."""
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind} must be one of {', '.join(KINDS)}")
    shown: list[str] = []

    def each(key: int, share: float) -> None:
        if len(shown) < show:
            shown.append(f"{key:016x}  {share:.0%} of its items are new")

    with _releases(load_settings(settings_file)) as releases:
        names = [release_of(releases, name).name for name in (before, after)]
        found = difference(releases, names[0], names[1], kind, each)
    print(f"{found.before} -> {found.after}, kind {kind}")
    print(f"same {found.same:,}  changed {found.changed:,}  gone {found.only_before:,}  new {found.only_after:,}")
    print(f"a changed list has {found.mean_replaced:.1%} new items on average; lists by share of new items:")
    print("  ".join(f"{tenth * 10}%: {count:,}" for tenth, count in enumerate(found.by_tenths)))
    for line in shown:
        print(line)


@contextmanager
def _releases(settings: Settings) -> Iterator[Releases]:
    with connected(settings) as client:
        yield Releases(client, settings.redis.namespace)


def _print_status(releases: Releases) -> None:
    live = releases.live()
    table = Table("release", "as of", "state", "cookies", "products", "contexts", box=None)
    for release in reversed(releases.all()):
        state = "live" if release.name == live.release else release.state
        counts = [f"{release.records.get(kind, 0):,}" for kind in KINDS]
        table.add_row(release.name, release.as_of, f"{state} delta" if release.base else state, *counts)
    console = Console()
    console.print(table)
    serving = releases.find(live.release or "")
    over = f", a delta over {serving.base}" if serving is not None and serving.base else ""
    console.print(f"live: {live.release or 'none'}{over}   a rollback goes to: {live.previous or 'none'}")
