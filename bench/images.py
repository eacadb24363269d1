"""Measures pictures per second of `larder ingest-images` beside Pillow in one process, and peak memory.

Most pictures are photographs of 640 x 480 pixels as JPEG; others are PNG and WebP with transparency. There are a few
dozen different ones under many names. Both peers keep their results in memory and check nothing; `pillow draft` lets
the JPEG decoder leave out detail, as ours does. Ours also checks every file, quarantines bad ones and writes a table.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.larder_jobs import run_job, write_settings
from bench.outcome import outcome
from bench.process_memory import Watched
from larder.models import columns as C
from larder.settings import VisionSettings

DIFFERENT = 40
WIDTH, HEIGHT = 640, 480
SIDE = VisionSettings().image_size
SIZES = (1, 2, 4)
PEERS = ("pillow", "pillow draft")
DRIVER_MEMORY = "1g"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.images", description=__doc__)
    parser.add_argument("--pictures", type=int, default=6000, help="pictures at the first scale (default: 6,000)")
    parser.add_argument("--runs", type=int, default=2, help="runs at the first scale, by turns; the best counts")
    parser.add_argument("--peer", nargs=2, metavar=("NAME", "FOLDER"), help="run one peer and print its seconds")
    arguments = parser.parse_args()
    if arguments.peer:
        print(_peer_seconds(arguments.peer[0], Path(arguments.peer[1])))
        return
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *PEERS)}
    peaks: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as work:
        for size in SIZES:
            folder = write_pictures(Path(work) / f"{size}x", size * arguments.pictures)
            for run in range(arguments.runs if size == 1 else 1):
                watched, job = _ours(folder, f"tables{run}")
                peaks[f"{size}x"] = watched.megabytes()
                print(f"{size}x  ours          {job:7.2f} s  peak MB {peaks[f'{size}x']}", flush=True)
                if size == 1:
                    seconds["ours"].append(job)
                    for name in PEERS:
                        seconds[name].append(_in_a_process(name, folder))
                        print(f"{size}x  {name:<13} {seconds[name][-1]:7.2f} s", flush=True)
    rates = {name: arguments.pictures / min(each) for name, each in seconds.items()}
    ours = rates.pop("ours")
    print(outcome("images", "pictures/s", ours, rates, pictures=arguments.pictures, peak_megabytes=peaks))


def write_pictures(folder: Path, count: int) -> Path:
    """Writes `count` pictures to `folder`/images, and a catalogue to `folder`, which is returned."""
    images = folder / "images"
    images.mkdir(parents=True)
    made = [_encoded(number) for number in range(DIFFERENT)]
    names = []
    for number in range(count):
        data, extension = made[number % DIFFERENT]
        names.append(f"images/{number:07d}.{extension}")
        first = images / f"{number % DIFFERENT:07d}.{extension}"
        if number < DIFFERENT:
            first.write_bytes(data)
        else:
            os.link(first, folder / names[-1])
    columns = {C.PRODUCT_ID: [str(number) for number in range(count)], C.CATEGORY: ["A/B"] * count, C.IMAGE: names}
    pq.write_table(pa.table(columns), folder / "catalogue.parquet")
    return folder


def _encoded(number: int) -> tuple[bytes, str]:
    """Returns a picture with gradients and grain, encoded: eight of ten are JPEG."""
    random = np.random.default_rng(number)
    down, across = np.mgrid[0 : 1 : complex(HEIGHT), 0 : 1 : complex(WIDTH)]
    waves = [np.sin(random.uniform(2, 30) * (across * random.normal() + down * random.normal())) for _ in range(3)]
    light = 128 + 90 * np.stack(waves, axis=2) + random.normal(0, 6, (HEIGHT, WIDTH, 3))
    image = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    format, extension = {8: ("PNG", "png"), 9: ("WEBP", "webp")}.get(number % 10, ("JPEG", "jpg"))
    if format != "JPEG":
        image.putalpha(Image.fromarray((255 * (across + down > 0.5)).astype(np.uint8)))
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue(), extension


def _ours(folder: Path, tables: str) -> tuple[Watched, float]:
    storage = {"tables": folder / tables, "catalogue": folder / "catalogue.parquet"}
    spark = {"driver_memory": DRIVER_MEMORY}
    return run_job("ingest-images", write_settings(folder / "larder.toml", storage=storage, spark=spark))


def _in_a_process(name: str, folder: Path) -> float:
    command = [sys.executable, "-m", "bench.images", "--peer", name, str(folder)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _peer_seconds(name: str, folder: Path) -> float:
    begun = time.perf_counter()
    kept = []
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            if name == "pillow draft":
                image.draft("RGB", (2 * SIDE, 2 * SIDE))
            kept.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
    assert np.stack(kept).shape == (len(kept), SIDE, SIDE, 3)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
