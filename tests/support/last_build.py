"""The release that the last build wrote, kept in tests/compatibility: its tables, its Redis keys and its answers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from repository import ROOT

KEPT = ROOT / "tests" / "compatibility"
START, BASE, END = "2025-03-02T00", "2025-03-02T03", "2025-03-02T04"  # of the log, of the release, of the delta
WHOLE, DELTA = "whole", "delta"  # the two states of Redis that are kept
FILE_TIME = 1_700_000_000  # modification time of the files of the log and the catalogue, which fingerprints name
MASKS_VERSION = ""  # the field of the masks' hash that holds random bytes

Contents = dict[str, dict[str, Any]]


def kept_json(name: str) -> Any:
    return json.loads((KEPT / f"{name}.json").read_text())


def copy_release(folder: Path, tables: bool = True) -> Path:
    """Copies log, catalogue, settings and, unless it should not, tables into `folder`; returns the settings file."""
    ignored = None if tables else shutil.ignore_patterns("tables")
    shutil.copytree(KEPT / "release", folder, dirs_exist_ok=True, ignore=ignored)
    for path in [folder / "catalogue.parquet", *folder.glob("events/**/*.json")]:
        os.utime(path, (FILE_TIME, FILE_TIME))
    return folder / "larder.toml"


def contents(client: redis.Redis) -> Contents:
    """Every key with its type and value, fields and values as hexadecimal digits."""
    found: Contents = {}
    for key in sorted(client.scan_iter("*", 1000)):
        kind = client.type(key).decode()
        value: Any
        if kind == "hash":
            value = {field.hex(): item.hex() for field, item in client.hgetall(key).items()}
        elif kind == "set":
            value = sorted(item.hex() for item in client.smembers(key))
        else:
            value = client.get(key).hex()
        found[key.decode()] = {kind: value}
    return found


def restore(client: redis.Redis, kept: Contents) -> None:
    """Makes a server hold these keys and no other."""
    client.flushall()
    for key, typed in kept.items():
        [(kind, value)] = typed.items()
        if kind == "hash":
            client.hset(key, mapping={bytes.fromhex(field): bytes.fromhex(item) for field, item in value.items()})
        elif kind == "set":
            client.sadd(key, *(bytes.fromhex(item) for item in value))
        else:
            client.set(key, bytes.fromhex(value))


def is_within(old: Any, new: Any) -> bool:
    """Whether `new` says all that `old` says: objects may have more fields, all else is equal."""
    if isinstance(old, Mapping):
        return isinstance(new, Mapping) and all(name in new and is_within(old[name], new[name]) for name in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(is_within, old, new))
    return bool(old == new)
