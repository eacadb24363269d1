"""Real pictures: how many of a held-out one's ten nearest lie in its own folder, by embedding and without training.

Debian's package openclipart-png, 8,121 public-domain pictures filed in a tree of categories, is fetched by
`apt-get download` (no root), and unpacked beside the downloaded file; both are kept for the next run. Larder's own
commands ingest, train and embed, each in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.larder_jobs import run_job, write_settings
from bench.outcome import outcome
from jobs.embed_products import EMBEDDINGS
from jobs.evaluate_pictures import EMBEDDING, MeasuredPictures, measured
from jobs.ingest_images import IMAGES, PARTITION
from models import columns as C
from settings.sections import Evaluation, Vision
from storage import Place, Tables

PACKAGE = "openclipart-png"
PICTURES = Path("usr/share/openclipart/png")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "larder"
JOBS = ("ingest-images", "train-vision", "embed-products")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.openclipart", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where the package is kept (default: {CACHE})")
    parser.add_argument("--epochs", type=int, default=Vision().epochs, help="default: the demo's")
    parser.add_argument("--pictures", type=int, default=0, help="only so many, spread over the categories; 0: all")
    parser.add_argument("--page", type=Path, help="write the page of pictures and their nearest to this file")
    arguments = parser.parse_args()
    folder = fetched(arguments.cache)
    with tempfile.TemporaryDirectory() as work:
        catalogue = write_catalogue(folder, Path(work) / "catalogue.parquet", arguments.pictures)
        storage = {"tables": Path(work) / "tables", "catalogue": catalogue, "images": folder}
        vision = {"epochs": arguments.epochs}
        settings = write_settings(Path(work) / "larder.toml", storage=storage, vision=vision)
        seconds = {}
        for verb in JOBS:
            watched, seconds[verb] = run_job(verb, settings)
            print(watched.output.strip().splitlines()[-1], flush=True)
        found = of_tables(Path(work) / "tables")
    if arguments.page:
        arguments.page.write_text(found.page, encoding="utf-8")
    _tell(found, seconds, arguments.epochs)


def fetched(cache: Path) -> Path:
    """The folder of the package's pictures, fetched and unpacked unless it is there."""
    folder = cache / PACKAGE
    if not (folder / PICTURES).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        if not list(cache.glob(f"{PACKAGE}_*.deb")):
            print(f"fetching {PACKAGE} (130 MB) into {cache}", flush=True)
            subprocess.run(["apt-get", "download", PACKAGE], cwd=cache, check=True)
        unpacked = cache / f"{PACKAGE}.part"
        subprocess.run(["dpkg-deb", "-x", *sorted(cache.glob(f"{PACKAGE}_*.deb"))[-1:], unpacked], check=True)
        unpacked.rename(folder)
    return folder / PICTURES


def write_catalogue(folder: Path, file: Path, most: int) -> Path:
    """A product a picture: its path below `folder` is id and image, its folder the category."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    if 0 < most < len(names):
        names = [names[number * len(names) // most] for number in range(most)]
    columns = {C.PRODUCT_ID: names, C.CATEGORY: [name.rpartition("/")[0] for name in names], C.IMAGE: names}
    pq.write_table(pa.table(columns), file)
    return file


def of_tables(root: Path) -> MeasuredPictures:
    """What the report's own code says of the tables that the jobs wrote."""
    tables = Tables(str(root))
    rows = {}
    for name in (IMAGES, EMBEDDINGS):
        uris = tables.uris([tables.get(name, PARTITION, "larder ingest-images, larder embed-products")])
        rows[name] = pa.concat_tables([pq.read_table(Place(uri).path) for uri in uris])
    joined = rows[IMAGES].join(rows[EMBEDDINGS], C.PRODUCT_ID, join_type="inner").sort_by(C.PRODUCT_ID)
    return measured(joined, Evaluation(bootstrap=1000))


def _tell(found: MeasuredPictures, seconds: dict[str, float], epochs: int) -> None:
    """Shares are told in thousandths, since an outcome's figures are whole."""
    for name, row in found.shares.items():
        print(f"{name:<18} {row['precision']:.4f} [{row['low']:.4f}, {row['high']:.4f}]  of {row['ceiling']:.4f}")
    shares = {name: 1000 * row["precision"] for name, row in found.shares.items()}
    ours = shares.pop(EMBEDDING)
    print(
        outcome(
            "openclipart",
            "thousandths of the ten nearest of the same leaf category",
            ours,
            shares,
            intervals={name: [round(row["low"], 4), round(row["high"], 4)] for name, row in found.shares.items()},
            pictures_asked=found.shares[EMBEDDING]["queries"],
            epochs=epochs,
            seconds={verb: round(each, 1) for verb, each in seconds.items()},
        )
    )


if __name__ == "__main__":
    main()
