"""The cache of compiled kernels follows the content of every source, not the time of one file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from repository import ROOT

from larder.kernels import imported, sources_digest

CALLEE = (
    "from larder.kernels import kernel\nfrom larder.models import values as V\n\n"
    "@kernel\ndef constant():\n    return V.TENS + {ones}\n"
)
VALUES = "TENS = {tens}\n"
CALLER = (
    "from larder.kernels import kernel\nfrom larder.models.callee import constant\n\n"
    "@kernel\ndef called(x):\n    return x + constant()\n"
)
RUN = """
from larder.models.caller import called
print(called(1), sum(called.stats.cache_hits.values()))
"""


def write_package(folder: Path, value: int) -> Path:
    """A package `larder` of two kernels, one of which calls the other, and of a number; all its files of one moment."""
    models = folder / "larder" / "models"
    models.mkdir(parents=True, exist_ok=True)
    for init in (folder / "larder" / "__init__.py", models / "__init__.py"):
        init.touch()
    shutil.copy(ROOT / "larder" / "kernels.py", folder / "larder")
    (models / "callee.py").write_text(CALLEE.format(ones=value % 10))
    (models / "values.py").write_text(VALUES.format(tens=value // 10 * 10))
    (models / "strange.py").write_text(f"UNUSED = {value}\n")
    (models / "caller.py").write_text(CALLER)
    for file in folder.rglob("*.py"):
        os.utime(file, (1e9, 1e9))
    return folder


def called(path: Path, cache: Path) -> list[int]:
    """What the kernel gives in a process of its own, and how many kernels it took from the cache."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}  # the latter for archives
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=cache, env=environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as written:
        for file in sorted(folder.rglob("*.py")):
            written.writestr(zipfile.ZipInfo(str(file.relative_to(folder))), file.read_text())
    return archive


def test_every_module_that_a_kernel_needs_is_known() -> None:
    source = "from larder.models import columns as C\nfrom larder.models.search.topk import (\n    push,\n)\n"
    assert {"larder.models.columns", "larder.models.search.topk"} <= set(imported(source))
    assert sources_digest("larder.models.search.mips") != sources_digest("larder.models.search.topk")


@pytest.mark.end_to_end
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_an_upgrade_never_takes_the_last_releases_kernels(tmp_path: Path, form: str) -> None:
    """Only the file of a kernel that another one calls changes, or a file that it imports; sizes and times stay."""
    cache = tmp_path / "cache"
    cache.mkdir()
    package = tmp_path / "release"
    for value, cached in ((13, 0), (13, 1), (14, 0), (24, 0), (13, 1)):
        path = write_package(package, value)
        assert called(zipped(path) if form == "archive" else path, cache) == [1 + value, cached]
