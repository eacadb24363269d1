"""Servers of the tests' own, on loopback: to be filled, killed, made replicas of; and clusters of three."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from pathlib import Path

import redis
from ports import free_port

from larder.loaders.embedded import server_binary

CLUSTER_NODES = 3
SLOTS = 16384
START_SECONDS = 90.0


class Server:
    """One server with its data in `folder`; `options` are its command line's."""

    def __init__(self, folder: Path, *options: str, binary: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.options, self.port = folder, options, free_port()
        self.binary = binary or server_binary()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Server:
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "no", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with redis.Redis(port=self.port, socket_timeout=1, protocol=2) as client:
                    client.ping()
                return self
            except redis.AuthenticationError:
                return self
            except redis.RedisError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def start_cluster(folder: Path, save: str = "") -> list[Server]:
    """Three primaries that share all slots and know each other; `save`: when they save their data by themselves."""
    options = ("--cluster-enabled", "yes", "--save", save, "--cluster-require-full-coverage", "yes")
    servers = [Server(folder / f"n{number}", *options).start() for number in range(CLUSTER_NODES)]
    clients = [redis.Redis(port=server.port) for server in servers]
    edges = [SLOTS * number // CLUSTER_NODES for number in range(CLUSTER_NODES + 1)]
    for number, (client, (first, end)) in enumerate(zip(clients, itertools.pairwise(edges), strict=True)):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", servers[number].port)
    wait_for_cluster(servers)
    return servers


def wait_for_cluster(servers: list[Server]) -> None:
    """Until every node knows the others, and all slots are served."""
    deadline = time.monotonic() + START_SECONDS
    clients = [redis.Redis(port=server.port) for server in servers]
    while not all(_is_whole(client) for client in clients):
        assert time.monotonic() < deadline, "the cluster did not form"
        time.sleep(0.05)
    for client in clients:
        client.close()


def stop(servers: list[Server]) -> None:
    for server in servers:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


def _is_whole(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    if not isinstance(info, dict):  # redis-py before 7 leaves it as text
        lines = (info.decode() if isinstance(info, bytes) else str(info)).splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == CLUSTER_NODES
