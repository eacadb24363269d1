"""A shop that publishes releases: its tables and settings, and `larder` on its command line."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import redis
from command_line import run_larder
from publishing_tables import write_delta, write_release
from repository import ROOT

from larder.jobs import load_redis
from larder.jobs.publishing.redis_access import redis_of
from larder.jobs.publishing.release_loading import ReleaseLoading
from larder.jobs.publishing.release_repair import Repaired, repair
from larder.jobs.publishing.whole_release import release_name
from larder.loaders.lease import Lease
from larder.loaders.releases import Releases
from larder.loaders.servers import connect, nodes
from larder.models.tables import RELEASE
from larder.settings import load_settings
from larder.storage import Tables

ONE_SERVER, CLUSTER = "one server", "cluster of three"
FIRST, SECOND = "2026-11-20T00", "2026-11-21T00"


class Shop:
    """A shop's tables and settings, the server it publishes to, and `larder` on its command line."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.tables = folder, url, folder / "tables"
        self.settings = folder / "larder.toml"
        self.configure()

    def configure(self, url: str = "", **redis_settings: object) -> None:
        values = {"url": f'"{url or self.url}"', "bucket_size": 16, "lease_seconds": 5, **redis_settings}
        lines = "\n".join(f"{name} = {value}" for name, value in values.items())
        self.settings.write_text(f'[storage]\ntables = "{self.tables}"\n[redis]\n{lines}\n')

    def release(self, as_of: str, cookies: int = 5_000, seed: int = 0, **more: int) -> dict[int, list[int]]:
        return write_release(self.tables, as_of, cookies, seed=seed, **more)

    def delta(self, end: str, lists: dict[int, list[str]], hours: int = 1) -> None:
        write_delta(self.tables, end, lists, hours)

    def name(self, as_of: str) -> str:
        """The name that the release of that instant has in the server."""
        manifest = Tables(str(self.tables)).get(RELEASE, f"as_of={as_of}", "write_release")
        return release_name(manifest, load_settings(self.settings).redis)

    def command(self, *arguments: str) -> list[str]:
        """The command line of a process of its own."""
        return [sys.executable, "-m", "larder", *arguments, "--settings", str(self.settings)]

    def larder(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_larder(*arguments, "--settings", str(self.settings))

    def load(self, as_of: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.larder("load-redis", "--without-spark", "--as-of", as_of, *arguments)

    def load_here(self, as_of: str, *arguments: str) -> dict[str, Any]:
        """Loads in this process. Returns the report's details."""
        argv = ["--settings", str(self.settings), "--without-spark", "--as-of", as_of, *arguments]
        return load_redis.run(None, load_redis.parse_arguments(argv)).details

    def repair_here(self, name: str = "") -> Repaired:
        """What `larder repair-release` does, in this process."""
        settings = load_settings(self.settings)
        with (
            redis_of(settings.redis) as server,
            closing(connect(server)) as client,
            Lease(client, "larder", 5) as lease,
        ):
            loading = ReleaseLoading(None, server, Releases(client, "larder"), settings.redis, lease)
            return repair(loading, Tables(str(self.tables)), name)

    def start_load(self, as_of: str, *arguments: str) -> subprocess.Popen[str]:
        command = self.command("load-redis", "--without-spark", "--as-of", as_of, *arguments)
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def releases(self) -> Releases:
        return Releases(connect(self.url), "larder")

    def nodes(self) -> list[redis.Redis]:
        """The servers that take writes, each by itself."""
        return nodes(connect(self.url))
