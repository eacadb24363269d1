"""The structure of the code: which package may import which, and that every name in it is found by guessing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import ROOT

# What a package of larder may import beside itself. A module's name allows that module alone.
ALLOWED = {
    "larder.settings": (),
    "larder.kernels": (),
    "larder.experiments": ("larder.settings",),
    "larder.storage": ("larder.kernels",),
    "larder.models": ("larder.kernels",),
    "larder.loaders": ("larder.experiments", "larder.settings"),
    "larder.journey": (),
    "larder.client": (),
    "larder.dags": (),
    "larder.jobs": ("larder.models", "larder.loaders", "larder.storage", "larder.settings", "larder.experiments"),
    "larder.lookup": (
        *("larder.experiments", "larder.loaders.codec", "larder.loaders.keys", "larder.loaders.mask_changes"),
        *("larder.loaders.redis_password", "larder.loaders.redis_url", "larder.journey", "larder.settings"),
    ),
    "larder.cli": tuple(
        f"larder.{name}"
        for name in ("jobs", "lookup", "journey", "models", "loaders", "storage", "experiments", "settings")
    ),
}
WITHOUT_SPARK = ("larder.dags", "larder.lookup", "larder.client", "larder.loaders", "larder.settings")
SPARK_SIDE = ("pyspark", "pyarrow", "pandas", "tensorflow", "elephas")
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
MOST_LINES = 400


def _sources(folder: str) -> Iterator[tuple[str, Path]]:
    """The module name and path of each source file below `folder`, linked folders included."""
    for path in sorted((ROOT / folder).iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from _sources(f"{folder}/{path.name}")
        elif path.suffix == ".py":
            name = f"{folder}/{path.stem}".replace("/", ".")
            yield name.removesuffix(".__init__"), path


LARDER = dict(_sources("larder"))
BESIDE = {name: path for folder in ("demo", "bench", "tests") for name, path in _sources(folder)}


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every name imported in a file (`a.b` for `from a import b`), and whether the module is imported with the file.

    Imports inside functions run later, and those under TYPE_CHECKING never.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from ((f"{node.module}.{alias.name}", node not in later) for alias in node.names)


def _module(name: str) -> str:
    """The module of ours that an imported name comes from."""
    return name if name in LARDER else name.rpartition(".")[0]


def _is_below(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    allowed = (package, *ALLOWED[package])
    wrong = [
        f"{module} imports {name}"
        for module, path in LARDER.items()
        if _is_below(module, package)
        for name, _ in _imports(path)
        if name.partition(".")[0] in ("larder", "demo", "bench", "tests")
        and not any(_is_below(name, each) for each in allowed)
    ]
    assert wrong == []


def test_every_package_has_its_directions() -> None:
    packages = {".".join(module.split(".")[:2]) for module in LARDER} - {"larder", "larder.__main__"}
    assert packages == set(ALLOWED)


def test_nothing_is_imported_by_the_name_of_its_folder() -> None:
    """`import jobs` would make a second copy of `larder.jobs`, with classes that are not the same."""
    folders = {package.removeprefix("larder.") for package in ALLOWED} - {"client", "cli"}
    wrong = [
        f"{module} imports {name}"
        for module, path in {**LARDER, **BESIDE}.items()
        for name, _ in _imports(path)
        if name.partition(".")[0] in folders
    ]
    assert wrong == []


@pytest.mark.parametrize("package", WITHOUT_SPARK)
def test_what_runs_without_spark_does_not_import_it(package: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in LARDER.items()
        if _is_below(module, package)
        for name, _ in _imports(path)
        if name.partition(".")[0] in SPARK_SIDE
    ]
    assert wrong == []


def test_only_entries_stand_at_the_top_of_jobs_and_none_imports_another() -> None:
    entries = {module: path for module, path in LARDER.items() if module.rpartition(".")[0] == "larder.jobs"}
    entries = {module: path for module, path in entries.items() if path.name != "__init__.py"}
    without_main = [
        module
        for module, path in entries.items()
        if not any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text(encoding="utf-8")).body
        )
    ]
    importing = [
        f"{module} imports {name}"
        for module, path in LARDER.items()
        if _is_below(module, "larder.jobs")
        for name, _ in _imports(path)
        if _module(name) in entries and _module(name) != module
    ]
    assert (without_main, importing) == ([], [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports that run later and those for types alone count too: a reader meets them all the same."""
    graph = {
        module: {_module(name) for name, _ in _imports(path) if _module(name) in LARDER} - {module}
        for module, path in LARDER.items()
    }
    while True:
        leaves = {module for module, needs in graph.items() if not needs & graph.keys()}
        if not leaves:
            break
        graph = {module: needs for module, needs in graph.items() if module not in leaves}
    circles = {module: sorted(needs & graph.keys()) for module, needs in graph.items()}
    assert circles == {}


def test_no_public_class_is_defined_twice() -> None:
    defined = defaultdict(list)
    for module, path in LARDER.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(module)
    assert {name: modules for name, modules in defined.items() if len(modules) > 1} == {}


def test_a_file_is_known_by_its_name_alone() -> None:
    """So that a stack trace tells files apart without their folders."""
    named = defaultdict(list)
    for module, path in LARDER.items():
        if not path.name.startswith("__"):
            named[path.name].append(module)
    assert {name: modules for name, modules in named.items() if len(modules) > 1} == {}


def test_every_file_has_a_name_that_says_something() -> None:
    assert [name for name in {**LARDER, **BESIDE} if SAYS_NOTHING & set(name.split("."))] == []


def test_no_file_is_too_long_to_be_read() -> None:
    lengths = {name: path.read_text(encoding="utf-8").count("\n") for name, path in {**LARDER, **BESIDE}.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


WEB_TIER = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SPARK_SIDE!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import larder.lookup
names = [module.name for module in pkgutil.walk_packages(larder.lookup.__path__, "larder.lookup.")]
for name in names:
    importlib.import_module(name)
import larder.cli.main
print("larder.lookup.operations.serve" in names)
"""


@pytest.mark.end_to_end
def test_the_web_tier_imports_without_the_spark_side() -> None:
    done = subprocess.run([sys.executable, "-c", WEB_TIER], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
