"""Whether the places and servers that the settings name can be reached."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from larder.cli.installation import Finding
from larder.cli.settings_in_force import shown
from larder.settings import Settings

TABLES_REMEDY = "check storage.tables, and that this account may write there"
S3_REMEDY = "check [storage], [s3], the AWS_* variables, and that the store is up"
REDIS_REMEDY = "check redis.url, and that the server is up"


def services(settings: Settings) -> list[Finding]:
    """Returns a finding for events, tables, catalogue and Redis."""
    storage = settings.storage
    return [
        _place("events", storage.events, "check storage.events"),
        _writable(storage.tables),
        _place("catalogue", storage.catalogue, "check storage.catalogue; without one no list has titles or categories"),
        _redis(settings),
    ]


def _place(name: str, uri: str, remedy: str) -> Finding:
    if not uri:
        return Finding(name, "not set", needed=False)
    return _tried(name, uri, remedy, lambda: "can be read" if _exists(uri) else "", needed=False)


def _exists(uri: str) -> bool:
    from larder.storage import StoragePath

    return StoragePath(uri).exists()


def _writable(uri: str) -> Finding:
    if "://" in uri:
        return _tried(
            "tables", uri, S3_REMEDY, lambda: "can be reached" if _exists(uri) else "can be reached, and is empty"
        )
    folder = Path(uri)
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding("tables", f"{uri} can be written")
    except OSError as error:
        return Finding("tables", f"{uri}: {error.strerror}", TABLES_REMEDY)


def _tried(name: str, uri: str, remedy: str, look: Callable[[], str], needed: bool = True) -> Finding:
    is_s3 = uri.startswith(("s3://", "s3a://", "s3n://"))
    store = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "Amazon's S3"
    where = f"{uri} ({store})" if is_s3 else uri
    try:
        state = look()
    except ImportError as error:
        return Finding(name, f"{where}: {error}", "pip install 'larder[jobs]'", needed=False)
    except Exception as error:  # a doctor tells every ailment, whatever raises it
        return Finding(name, f"{where}: {_first_line(error)}", S3_REMEDY if is_s3 else remedy, needed)
    return Finding(name, f"{where} {state}") if state else Finding(name, f"nothing at {where}", remedy, needed)


def _redis(settings: Settings) -> Finding:
    from larder.cli.connected_redis import connected
    from larder.loaders.releases import Releases

    url = settings.redis.url.get_secret_value()
    if not url:
        return _embedded(settings.redis.directory)
    where = shown("url", url)
    try:
        with connected(settings) as client:
            live = Releases(client, settings.redis.namespace).live().release
    except Exception as error:  # likewise
        return Finding("redis", f"{where}: {shown('url', _first_line(error))}", REDIS_REMEDY)
    return Finding("redis", f"{where} answers; " + (f"release {live} is live" if live else "no release is live yet"))


def _embedded(directory: str) -> Finding:
    """A server of Larder's own, which starts with the verb that needs it: a doctor starts none."""
    from larder.loaders.embedded import EmbeddedServerError, server_binary

    try:
        binary = server_binary()
    except EmbeddedServerError as error:
        return Finding("redis", f"redis.url is not set: {_first_line(error)}", "set redis.url")
    return Finding("redis", f"redis.url is not set, so verbs start {binary} with its data in {directory}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().partition("\n")[0]
