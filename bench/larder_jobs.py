"""Runs Larder's own commands for a bench: each in a measured process of its own, on a folder of tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.process_memory import Watched, watched


def write_settings(file: Path, **sections: dict[str, Any]) -> Path:
    """Writes a larder.toml. Values are text, numbers, booleans, or tables of text."""
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    file.write_text("\n".join(lines) + "\n")
    return file


def run_job(verb: str, settings: Path, *arguments: str) -> tuple[Watched, float]:
    """Runs `larder VERB`; returns what it took, and the seconds of the job alone, without the start of Java."""
    command = [sys.executable, "-m", "larder", verb, "--settings", str(settings), *arguments]
    found = watched(command, {"LARDER_LOG": "json"})
    stages = [json.loads(line) for line in found.output.splitlines() if line.startswith('{"')]
    return found, sum(stage["seconds"] for stage in stages)


def table_size(tables: Path, name: str, only_newest: bool = False) -> dict[str, int]:
    """Returns rows and bytes of a table, or of its last partition, as its manifests say."""
    found = sorted(manifests(tables, name), key=lambda manifest: manifest["partition"])[-1 if only_newest else 0 :]
    sizes = [file["bytes"] for manifest in found for file in manifest["files"]]
    return {"rows": sum(manifest["rows"] for manifest in found), "bytes": sum(sizes)}


def manifests(tables: Path, name: str) -> list[dict[str, Any]]:
    """Returns the manifests of all partitions that a table shows."""
    return [json.loads(path.read_text()) for path in (tables / name / "manifests").rglob("*.json")]


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(str(value) if isinstance(value, Path) else value)
