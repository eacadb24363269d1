"""`kernel`: numba's compiler with a cache that an upgrade of Larder can't confuse.

Numba's cache on disk notices a changed source file by its time and size, and only the file in which a function stands.
A kernel that calls one of another file would keep that one's old code for ever, and a file of an archive whose times
are all the same would not be noticed at all. Here the cache is keyed by the content of every file that may hold a
kernel: its entries are named by that digest, so that two releases that share a cache never read each other's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core.caching import CompileResultCacheImpl

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = __name__.rpartition(".")[0]
ROOMS = ("models", "storage")  # of the package, in which there are kernels
STANDARD_LOCATORS = tuple(CompileResultCacheImpl._locator_classes)


def kernel(function: Function | None = None, **options: Any) -> Any:
    """Compiles a function with `numba.njit`, without the interpreter's lock and cached on disk; for use as a decorator.

    `options` are those of `numba.njit`, such as `fastmath`.
    """
    compiler = numba.njit(**{"cache": True, "nogil": True, **options})
    return compiler if function is None else compiler(function)


@cache
def sources_digest() -> str:
    """Returns a digest of the content of all files that may hold a kernel, 16 hexadecimal digits."""
    package, content = files(PACKAGE), hashlib.sha256()
    for room in ROOMS:
        for name, file in sorted(_sources(package / room, room), key=lambda pair: pair[0]):
            content.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{name}/{entry.name}")


class KernelLocator:
    """Numba's own choice of a place for the cache, with names and stamps by the content of the sources."""

    def __init__(self, standard: Any) -> None:
        self._standard = standard

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> KernelLocator | None:
        """Returns the locator of a function of Larder's, None for any other function."""
        if not function.__module__.startswith(f"{PACKAGE}."):
            return None
        found = (locator.from_function(function, file) for locator in STANDARD_LOCATORS)
        standard = next((locator for locator in found if locator is not None), None)
        return None if standard is None else cls(standard)

    def get_source_stamp(self) -> str:
        """Returns what must be the same for a cached function to be taken."""
        return sources_digest()

    def get_disambiguator(self) -> str:
        """Returns the part of a cached function's file name that tells it from others of its name."""
        return f"{self._standard.get_disambiguator()}-{sources_digest()}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._standard, name)


CompileResultCacheImpl._locator_classes = [KernelLocator, *STANDARD_LOCATORS]
