"""Ports of loopback for the servers of tests. Tests may run in several processes at once."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
# Below the ports that the system gives to outgoing connections, or one of those could take a port before the server
# that it was meant for; and so low that the bus of a Redis cluster, 10,000 above, is below them too.
FIRST, END = 12_000, 22_000
BUS = 10_000

# Each process goes through all of them in an order of its own, so a port is not given out again soon, or by another.
_shuffled = random.SystemRandom().sample(range(FIRST, END), END - FIRST)
_ports: Iterator[int] = itertools.cycle(_shuffled)


def free_port() -> int:
    """A port that nobody listens at, and that is free 10,000 above too."""
    return next(port for port in _ports if _is_free(port) and _is_free(port + BUS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
