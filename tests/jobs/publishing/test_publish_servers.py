"""Servers of other makes and versions, and the way to them by TLS with a user of few permissions.

SERVER_BINARIES names more servers to try, with `:` between them, such as Redis 6.2, 7.0 or 8.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificates
from ports import free_port
from publishing_readers import read_list
from publishing_servers import Server
from publishing_shop import FIRST, Shop
from publishing_tls import TlsRelay

from larder.loaders.embedded import server_binary

pytestmark = pytest.mark.end_to_end

BINARIES = [server_binary(), *filter(None, os.environ.get("SERVER_BINARIES", "").split(os.pathsep))]
DELTA = "2026-11-20T01"
PERMISSIONS = "~larder:* +@read +@write +eval +info +config|get +config|set +ping"
USER, PASSWORD, ESCAPED = "loader", "s3cret/", "s3cret%2F"


def go_through_everything(shop: Shop) -> None:
    """A release, a delta over it, and what operators do with them."""
    lists = shop.release(FIRST, seed=1)
    key = next(iter(lists))
    shop.delta(DELTA, {key: ["p0000001", "new"]})
    for words in (
        ["load-redis", "--without-spark", "--as-of", FIRST],
        ["verify"],
        ["load-redis", "--without-spark", "--as-of", DELTA, "--delta"],
        ["verify"],
        ["diff"],
        ["rollback"],
        ["retire", "previous"],
        ["status"],
    ):
        done = shop.larder(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    assert done.stdout.count("\n") == 3, done.stdout  # a head, the release, what is live


@pytest.mark.slow
@pytest.mark.parametrize("binary", BINARIES, ids=[Path(binary).parent.name for binary in BINARIES])
def test_every_server_takes_it(binary: str, start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--save", "", binary=binary)
    shop = Shop(tmp_path, server.url)
    go_through_everything(shop)
    client = shop.releases().client
    buckets = list(client.scan_iter("larder:*:c:*", count=1000))
    encodings = {client.object("encoding", bucket) for bucket in buckets}
    assert encodings <= {b"listpack", b"ziplist"}


@pytest.mark.parametrize("binary", BINARIES, ids=[Path(binary).parent.name for binary in BINARIES])
def test_by_tls_with_a_user_of_few_permissions(
    binary: str, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """From a server that has no TLS, by way of a relay that has."""
    certificates, port = Certificates(tmp_path), free_port()
    user = ("--user", USER, "on", f">{PASSWORD}", *PERMISSIONS.split(), "--user", "default", "off")
    try:
        start_server("--save", "", *certificates.server_options(port), *user, binary=binary)
    except Exception:  # it ended at once: it knows no TLS
        with TlsRelay(certificates, start_server("--save", "", *user, binary=binary).port) as relay:
            check_tls(relay.port, certificates, tmp_path)
    else:
        check_tls(port, certificates, tmp_path)


def check_tls(port: int, certificates: Certificates, folder: Path) -> None:
    url = f"rediss://{USER}:{ESCAPED}@127.0.0.1:{port}/0"
    shop = Shop(folder, f"{url}?ssl_ca_certs={certificates.authority}")
    go_through_everything(shop)
    key, items = next(iter(shop.release(FIRST, seed=1).items()))
    live = shop.releases().live().release or ""
    assert read_list(shop.releases().client, live, key) == items
    shop.configure(url)  # an authority that nobody here trusts
    refused = shop.load(FIRST)
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr
    assert ESCAPED not in refused.stderr
    assert PASSWORD not in refused.stderr
