"""Draws pack shots with their leaf categories, reproducibly, as arrays in one file."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from demo.pack_shots import Product, pack_shot
from larder.models.vision.network import label_list, label_matrix, label_shares

CORES, CHUNK = 2, 64
MAKERS = 12
LEAVES = [
    "GROCERY/SOUP/CONDENSED SOUP",
    "GROCERY/CHEESE/SHREDDED CHEESE",
    "GROCERY/CHEESE/AMERICAN CHEESE",
    "GROCERY/FLUID MILK/WHITE MILK",
    "GROCERY/YOGURT/MULTI PACK YOGURT",
    "GROCERY/SOFT DRINKS/COLA CANS",
    "GROCERY/SOFT DRINKS/TONIC WATER BOTTLE",
    "GROCERY/COLD CEREAL/FAMILY CEREAL",
    "GROCERY/COLD CEREAL/KIDS CEREAL",
    "GROCERY/BREAD/WHEAT BREAD",
    "GROCERY/COFFEE/GROUND COFFEE",
    "GROCERY/TEA/TEA BAGS",
    "GROCERY/PASTA/SPAGHETTI DRY",
    "GROCERY/VEGETABLES/GREEN BEANS CANNED",
    "GROCERY/ICE CREAM/PREMIUM PINTS",
    "GROCERY/FROZEN PIZZA/TRADITIONAL PIZZA",
    "DRUG GM/CANDY/CHEWING GUM",
    "DRUG GM/CANDY/CHOCOLATE BARS",
    "DRUG GM/SHAMPOO/HAIR CONDITIONER",
    "DRUG GM/PAPER TOWELS/PAPER TOWEL ROLLS",
    "PRODUCE/CITRUS/LEMONS",
    "PRODUCE/APPLES/GALA APPLES",
    "PRODUCE/TOMATOES/ROMA TOMATOES",
    "MEAT/BEEF/GROUND BEEF",
]


class Pictures(NamedTuple):
    """Pixels (n, size, size, 3), every level of the category path (n, labels), and the leaf's column of each (n,)."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    leaves: npt.NDArray[np.int64]


class Drawn(NamedTuple):
    train: Pictures
    test: Pictures
    shares: npt.NDArray[np.float32]
    columns: npt.NDArray[np.int64]  # of the leaves among the labels

    def accuracy(self, probabilities: npt.NDArray[np.float32]) -> float:
        """Returns the share of test pictures whose most probable leaf is right; `probabilities` (pictures, labels)."""
        return float(np.mean(self.columns[probabilities[:, self.columns].argmax(axis=1)] == self.test.leaves))


def write_drawn(file: Path, train: int, test: int, size: int) -> None:
    """Draws pictures of the leaves in turn: training pictures first, then test pictures."""
    with ProcessPoolExecutor(CORES) as pool:
        pixels = np.stack(list(pool.map(partial(_drawn, size=size), range(train + test), chunksize=CHUNK)))
    np.savez(file, pixels=pixels, train=train)


def read_drawn(file: Path) -> Drawn:
    with np.load(file) as found:
        pixels, train = found["pixels"], int(found["train"])
    paths = [LEAVES[number % len(LEAVES)] for number in range(len(pixels))]
    products_of: dict[str | None, int] = {leaf: paths[:train].count(leaf) for leaf in LEAVES}
    labels = label_list(products_of, 1)
    matrix = label_matrix(paths, labels)
    leaves = np.array([labels.index(path) for path in paths])
    columns = np.array(sorted(labels.index(leaf) for leaf in LEAVES))
    parts = [Pictures(pixels[rows], matrix[rows], leaves[rows]) for rows in (slice(0, train), slice(train, None))]
    return Drawn(parts[0], parts[1], label_shares(products_of, labels), columns)


def _drawn(number: int, size: int) -> npt.NDArray[np.uint8]:
    department, category, kind = LEAVES[number % len(LEAVES)].split("/")
    maker, ounces = number // len(LEAVES) % MAKERS, 4 + number % 29
    brand = "Private" if maker == 0 else "National"
    return pack_shot(Product(str(number), str(maker), department, brand, category, kind, f"{ounces} OZ"), size)
