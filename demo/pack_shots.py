"""Draws pack shots from product attributes, for a catalogue that has no pictures.

As on a real shelf, a type of product has its own package, layout and picture, and a maker has its own colours and name.
Every shot has its own light, angle, background and obstacles.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash
from PIL import Image, ImageDraw, ImageFilter

from demo.pack_emblems import Colour, Draw
from demo.pack_forms import FORMS, draw_pack
from demo.pack_labels import (
    ACCENTS,
    HOUSE_BRAND,
    LAYOUTS,
    MAKERS,
    PATTERNS,
    Art,
    jittered,
    maker_name,
    rgb,
    tint,
)
from demo.pack_loose import draw_loose
from demo.pack_rules import MEDIUM_OUNCES, emblem_of, form_of, ounces_of, skin_of

COLUMNS = (
    "product_id",
    "manufacturer_id",
    "department",
    "brand",
    "product_category",
    "product_type",
    "package_size",
)
QUALITY = 88
OVERSAMPLING = 2
CHUNK = 64
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Product:
    """The attributes that determine a pack shot."""

    product_id: str
    manufacturer_id: str
    department: str
    brand: str
    product_category: str
    product_type: str
    package_size: str

    @property
    def words(self) -> str:
        return f"{self.department} {self.product_category} {self.product_type}".upper()


def render_pack_shots(
    products: pd.DataFrame | Iterable[Mapping[str, Any]],
    folder: Path,
    size: int = 96,
    processes: int | None = None,
) -> dict[str, str]:
    """Draws one JPEG of `size` x `size` pixels per product into `folder`; existing files are kept.

    `products` has the columns COLUMNS; all but product_id may be empty. Returns product id -> file name in `folder`. A
    product gives the same bytes, whatever else is drawn. Raises KeyError if a product_id is missing.
    """
    rows = products.to_dict("records") if isinstance(products, pd.DataFrame) else list(products)
    named = {product.product_id: product for product in map(_product, rows)}
    folder.mkdir(parents=True, exist_ok=True)
    files = {product_id: f"{quote(product_id, safe='')}.jpg" for product_id in named}
    there = {entry.name for entry in os.scandir(folder)}
    missing = [product for product_id, product in named.items() if files[product_id] not in there]
    workers = min(processes or os.cpu_count() or 1, math.ceil(len(missing) / CHUNK))
    write = partial(_write, folder=folder, size=size)
    if workers <= 1:
        for product in missing:
            write(product)
    else:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(write, missing, chunksize=CHUNK))
    return files


def pack_shot(product: Product, size: int = 96) -> Pixels:
    """Returns the picture of one product, uint8, size x size x RGB."""
    shot = Random(_seed("shot", product.product_id))
    side = size * OVERSAMPLING
    scene = _background(side, shot)
    pack = _turned(_goods(product, side, shot), product, shot)
    _put_down(scene, pack, side, shot)
    _obstruct(scene, side, shot)
    return _photographed(scene, size, shot)


def _product(row: Mapping[str, Any]) -> Product:
    values = {name: row[name] if name == "product_id" else row.get(name) for name in COLUMNS}
    return Product(**{name: "" if value is None or value != value else str(value) for name, value in values.items()})


def _write(product: Product, folder: Path, size: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pack_shot(product, size)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    name = f"{quote(product.product_id, safe='')}.jpg"
    part = folder / f".{name}.{os.getpid()}"
    part.write_bytes(buffer.getvalue())
    part.replace(folder / name)


def _seed(*parts: str) -> int:
    return xxhash.xxh64_intdigest("\x1f".join(parts).encode(), seed=42)


def _goods(product: Product, side: int, shot: Random) -> Image.Image:
    form = form_of(product.words)
    skin = skin_of(product.words)
    main, light, leaf = (jittered(rgb(code), shot, 0.6) for code in skin)
    if form.startswith("loose:"):
        return draw_loose(form.removeprefix("loose:"), (main, light, leaf), side, shot)
    if form == "tray":
        main, light = jittered((188, 58, 54), shot, 0.7), (246, 214, 196)
    return draw_pack(FORMS[form], _art(product, shot), (main, light), side, shot)


def _art(product: Product, shot: Random) -> Art:
    """Returns the artwork: pattern, layout and picture by type; accent by category; body and name by maker; shades by
    product."""
    by_type = Random(_seed("type", product.department, product.product_category, product.product_type))
    by_category = Random(_seed("category", product.department, product.product_category))
    by_maker = Random(_seed("maker", product.manufacturer_id))
    private = product.brand.lower() == "private"
    line = Random(_seed("line", product.manufacturer_id, product.product_type))
    body = rgb(line.choice([by_maker.choice(MAKERS), line.choice(MAKERS)]))
    accents = [rgb(by_category.choice(ACCENTS)), rgb(shot.choice(ACCENTS))]
    return Art(
        body=jittered((244, 240, 230) if private else body, shot, 0.5),
        accent=jittered(shot.choice(accents), shot, 0.7),
        emblem=emblem_of(product.words, by_type.randrange(1 << 16)),
        name=HOUSE_BRAND if private else maker_name(by_maker),
        pattern=by_type.randrange(len(PATTERNS)),
        layout=by_type.randrange(len(LAYOUTS)),
        private=private,
    )


def _turned(pack: Image.Image, product: Product, shot: Random) -> Image.Image:
    """Scales the package by its size, shears it by the angle of view, and tilts it a little."""
    side = pack.width
    grown = 0.055 * math.log2(ounces_of(product.package_size) / MEDIUM_OUNCES)
    scale = min(1.05, max(0.66, 0.86 + grown)) * shot.uniform(0.86, 1.1)
    lean, squeeze = shot.gauss(0, 0.07), shot.uniform(0.86, 1.1)
    a, e = 1 / (scale * squeeze), 1 / scale
    middle = side / 2
    matrix = (a, lean, middle - a * middle - lean * middle, 0.0, e, middle - e * middle)
    pack = pack.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return pack.rotate(shot.gauss(0, 7.5), Image.Resampling.BICUBIC)


def _background(side: int, shot: Random) -> Image.Image:
    """Draws a wall, a board, and often the neighbours on the shelf, out of focus."""
    wall = jittered(
        rgb(shot.choice(["e9e4da", "d5dde3", "c9c2b8", "f3f0ea", "b9c4c0", "e6d8c8", "8f9aa3", "5c6068"])),
        shot,
        0.5,
    )
    scene = Image.new("RGB", (side, side), wall)
    draw = ImageDraw.Draw(scene)
    if shot.random() < 0.55:
        _neighbours(draw, side, shot)
        scene = scene.filter(ImageFilter.GaussianBlur(side / shot.uniform(24, 50)))
        draw = ImageDraw.Draw(scene)
    board = shot.uniform(0.8, 0.93) * side
    tone = tint(wall, shot.uniform(-0.4, -0.05))
    draw.rectangle((0, board, side, side), fill=tone)
    draw.line((0, board, side, board), fill=tint(tone, -0.3), width=max(1, side // 90))
    return scene


def _neighbours(draw: Draw, side: int, shot: Random) -> None:
    left = -shot.uniform(0, 0.2) * side
    while left < side:
        width, top = shot.uniform(0.16, 0.36) * side, shot.uniform(0.08, 0.5) * side
        colour = jittered(rgb(shot.choice(MAKERS)), shot, 1.0)
        draw.rectangle((left, top, left + width, side), fill=colour)
        draw.rectangle(
            (left, top + 0.12 * side, left + width, top + 0.24 * side),
            fill=tint(colour, shot.uniform(-0.5, 0.7)),
        )
        left += width + shot.uniform(0.0, 0.06) * side


def _put_down(scene: Image.Image, pack: Image.Image, side: int, shot: Random) -> None:
    x, y = round(shot.gauss(0, 0.05) * side), round(shot.gauss(0.01, 0.035) * side)
    shadow = pack.getchannel("A").filter(ImageFilter.GaussianBlur(side / 30)).point(lambda v: int(v * 0.5))
    offset = (x + round(shot.uniform(-0.05, 0.05) * side), y + round(0.035 * side))
    scene.paste((20, 18, 24), offset, shadow)
    scene.paste(pack, (x, y), pack)


def _obstruct(scene: Image.Image, side: int, shot: Random) -> None:
    """Draws a price rail, or the edge of something in front."""
    draw = ImageDraw.Draw(scene)
    if shot.random() < 0.3:
        top = shot.uniform(0.84, 0.92) * side
        draw.rectangle((0, top, side, side), fill=jittered((236, 236, 232), shot, 0.4))
        tag = shot.uniform(0.1, 0.6) * side
        draw.rectangle(
            (tag, top + 2, tag + 0.28 * side, side),
            fill=(252, 222, 90) if shot.random() < 0.5 else (255, 255, 255),
        )
        draw.text(
            (tag + 0.14 * side, (top + side) / 2),
            f"{shot.randint(0, 9)}.{shot.randint(0, 9)}9",
            fill=(40, 40, 40),
            anchor="mm",
        )
    if shot.random() < 0.28:
        width = shot.uniform(0.08, 0.2) * side
        colour: Colour = jittered(rgb(shot.choice(MAKERS)), shot, 1.0)
        left = 0.0 if shot.random() < 0.5 else side - width
        draw.rectangle((left, shot.uniform(0.1, 0.55) * side, left + width, side), fill=colour)


def _photographed(scene: Image.Image, size: int, shot: Random) -> Pixels:
    """Adds the effects of lamp, lens and sensor: uneven light, its colour, blur, and noise."""
    image = scene.resize((size, size), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(shot.uniform(0, 0.8)))
    down, across = np.mgrid[-1 : 1 : complex(size), -1 : 1 : complex(size)]
    angle = shot.uniform(0, 2 * math.pi)
    slope = 1 + shot.uniform(0, 0.25) * (across * math.cos(angle) + down * math.sin(angle))
    warmth = shot.gauss(0, 0.06)
    lamp = np.array([1 + warmth, 1.0, 1 - warmth]) * shot.uniform(0.68, 1.15)
    noise = np.random.default_rng(shot.getrandbits(64)).normal(0, shot.uniform(1.5, 6.0), (size, size, 3))
    light = np.asarray(image, np.float64) * slope[:, :, None] * lamp + noise
    return np.clip(light + shot.gauss(0, 6), 0, 255).astype(np.uint8)
