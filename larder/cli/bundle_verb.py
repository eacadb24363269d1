"""`larder bundle`: Larder as one archive for `--py-files`, for executors where it is not installed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated

import typer

verbs = typer.Typer()
# The endpoint, its client, its log, the DAGs and the command line: no task of Spark runs them.
NOT_IN_TASKS = {"lookup", "client", "journey", "dags", "cli", "__main__.py"}
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the archive's bytes depend on its content alone
LEFT_OUT = {".pyc", ".so", ".pyd"}


@verbs.command()
def bundle(
    to: Annotated[Path, typer.Option(metavar="FILE", help="The archive to write, such as larder.zip.")],
) -> None:
    """Write the archive for spark-submit's --py-files."""
    if not to.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {to.parent}", param_hint="--to")
    files = bundled_files()
    unfinished = to.with_name(f".{to.name}.unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    unfinished.replace(to)
    print(f"{to}: {len(files)} files, {to.stat().st_size:,} bytes; use it as spark-submit --py-files {to}")


def bundled_files() -> dict[str, Path]:
    """Returns the path of each file by its name in the archive, such as `larder/jobs/train_als.py`, sorted."""
    root = Path(__file__).parents[1]
    paths = []
    for entry in root.iterdir():
        if entry.name in NOT_IN_TASKS:
            continue
        # A checkout links larder/jobs to jobs; a link is not followed by rglob, its target is.
        for path in [entry] if entry.is_file() else entry.resolve().rglob("*"):
            if path.is_file() and path.suffix not in LEFT_OUT and "__pycache__" not in path.parts:
                paths.append(entry if path == entry else entry / path.relative_to(entry.resolve()))
    return {f"larder/{path.relative_to(root).as_posix()}": path for path in sorted(paths)}
