"""`kernel`: numba's compiler with a cache that an upgrade of Larder can't confuse.

Numba's cache on disk notices a changed source file by its time and size, and only the file in which a function stands.
A kernel that calls one of another file would keep that one's old code for ever, and a file of an archive whose times
are all the same would not be noticed at all. Here the cache is keyed by the content of a kernel's module and of every
module of Larder that it imports, directly or through others. Entries are named by that digest, so that two releases
that share a cache never read each other's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numba
from numba.core.caching import CompileResultCacheImpl

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = __name__.rpartition(".")[0]
IMPORTS = re.compile(
    rf"^\s*(?:from\s+({PACKAGE}[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+({PACKAGE}[\w.]*))", re.MULTILINE
)
STANDARD_LOCATORS = tuple(CompileResultCacheImpl._locator_classes)


def kernel(function: Function | None = None, **options: Any) -> Any:
    """Compiles a function with `numba.njit`, without the interpreter's lock and cached on disk; for use as a decorator.

    `options` are those of `numba.njit`, such as `fastmath`.
    """
    compiler = numba.njit(**{"cache": True, "nogil": True, **options})
    return compiler if function is None else compiler(function)


@cache
def sources_digest(module: str) -> str:
    """Returns a digest of the sources of a module of Larder and of all that it imports, 16 hexadecimal digits."""
    known, left = {""}, [module]
    while left:
        name = left.pop()
        if name not in known:
            known.add(name)
            left += _module(name)[1]
    content = "".join(f"{name} {_module(name)[0]}\n" for name in sorted(known))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Returns a digest of a module's source, and what it imports from Larder; nothing if there is no such module."""
    source = _source(name) or ""
    return hashlib.sha256(source.encode()).hexdigest(), tuple(imported(source))


def imported(source: str) -> Iterator[str]:
    """Yields the names that a source imports from Larder and that may be modules."""
    for package, names, module in IMPORTS.findall(source):
        yield package or module
        yield from (f"{package}.{name}" for name in re.findall(r"\w+", names))


def _source(module: str) -> str | None:
    """Returns the source of a module of Larder, None if there is no module of that name."""
    *folders, name = module.split(".")[1:] or [""]
    for path in ([*folders, f"{name}.py"], [*folders, name, "__init__.py"]):
        file = files(PACKAGE).joinpath(*path)
        if name and file.is_file():
            return file.read_text(encoding="utf-8")
    return None


class KernelLocator:
    """Numba's own choice of a place for the cache, with names and stamps by the content of the sources."""

    def __init__(self, standard: Any, module: str) -> None:
        self._standard, self._digest = standard, sources_digest(module)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> KernelLocator | None:
        """Returns the locator of a function of Larder's, None for any other function."""
        if not function.__module__.startswith(f"{PACKAGE}."):
            return None
        found = (locator.from_function(function, file) for locator in STANDARD_LOCATORS)
        standard = next((locator for locator in found if locator is not None), None)
        return None if standard is None else cls(standard, function.__module__)

    def get_source_stamp(self) -> str:
        """Returns what must be the same for a cached function to be taken."""
        return self._digest

    def get_disambiguator(self) -> str:
        """Returns the part of a cached function's file name that tells it from others of its name."""
        return f"{self._standard.get_disambiguator()}-{self._digest}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._standard, name)


CompileResultCacheImpl._locator_classes = [KernelLocator, *STANDARD_LOCATORS]
