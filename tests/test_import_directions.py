"""Arrows go one way: dags -> jobs (by path) -> models, loaders, storage; lookup -> the record codec alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What a package may import of ours beside itself; a module's name allows that module alone.
ALLOWED = {
    "settings": (),
    "storage": (),
    "models": (),
    "loaders": (),
    "jobs": ("models", "loaders", "storage", "settings"),
    "journey": (),
    "lookup_client": (),
    "lookup": ("larder.loaders.codec", "larder.loaders.keys", "journey", "settings"),
    "larder": ("jobs", "lookup", "journey", "models", "loaders", "storage", "settings"),
    "dags": (),
}
OURS = {*ALLOWED, "demo", "bench", "tests"}
WITHOUT_SPARK = ("dags", "lookup", "lookup_client", "loaders", "settings")
SPARK_SIDE = ("pyspark", "pyarrow", "pandas", "tensorflow", "elephas")
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
MOST_LINES = 400
SOURCES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def sources(package: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(ROOT).parts[0] == package]


def imported(path: Path) -> Iterator[str]:
    """Names of modules (`a.b` for `from a import b` too: b may be a module), wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    allowed = (package, *ALLOWED[package])
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imported(path)
        if top(name) in OURS and not any(f"{name}.".startswith(f"{each}.") for each in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", WITHOUT_SPARK)
def test_what_runs_without_spark_does_not_import_it(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imported(path)
        if top(name) in SPARK_SIDE
    ]
    assert wrong == []


def test_nothing_is_built_on_the_demo_or_the_benchmarks() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in ALLOWED
        for path in sources(package)
        for name in imported(path)
        if top(name) in ("demo", "bench", "tests")
    ]
    assert wrong == []


def test_every_file_has_a_name_that_says_something() -> None:
    assert [path for path in SOURCES if SAYS_NOTHING & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def test_no_file_is_too_long_to_be_read() -> None:
    lengths = {path.relative_to(ROOT): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


WEB_TIER = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SPARK_SIDE!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import lookup
for module in pkgutil.iter_modules(lookup.__path__):
    importlib.import_module(f"lookup.{{module.name}}")
import larder.cli
print("imported", len(lookup.__path__))
"""


@pytest.mark.end_to_end
def test_the_web_tier_imports_without_the_spark_side() -> None:
    done = subprocess.run([sys.executable, "-c", WEB_TIER], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("imported 1\n", "", 0)
