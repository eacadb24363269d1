"""Products without a package: fruit, vegetables and flowers, piled as on a stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from demo.pack_emblems import Colour, Draw
from demo.pack_labels import tint

Skin = tuple[Colour, Colour, Colour]


def draw_loose(shape: str, skin: Skin, side: int, random: Random) -> Image.Image:
    """Returns a pile, RGBA, `side` x `side` pixels; `skin` is the product's colour, its highlight and its leaf."""
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    SHAPES[shape](ImageDraw.Draw(image), side, skin, random)
    return image


def _ball(draw: Draw, x: float, y: float, r: float, skin: Skin, random: Random) -> None:
    main = tint(skin[0], random.uniform(-0.12, 0.08))
    draw.ellipse((x - r, y - r, x + r, y + r), fill=tint(main, -0.28))
    draw.ellipse((x - r, y - r, x + 0.88 * r, y + 0.86 * r), fill=main)
    draw.ellipse((x - 0.7 * r, y - 0.74 * r, x + 0.25 * r, y + 0.2 * r), fill=tint(main, 0.14))
    draw.ellipse((x - 0.5 * r, y - 0.55 * r, x - 0.12 * r, y - 0.18 * r), fill=skin[1])


def _pile(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    r = 0.165 * side
    for count, y in ((2, 0.36), (3, 0.56), (2, 0.77)):
        for i in range(count):
            x = 0.5 + (i - (count - 1) / 2) * 0.3 + random.uniform(-0.03, 0.03)
            _ball(draw, x * side, (y + random.uniform(-0.02, 0.02)) * side, r, skin, random)
            top = (x * side, (y - 0.13) * side)
            draw.line((*top, top[0] + 0.02 * side, top[1] - 0.05 * side), fill=skin[2], width=max(2, side // 60))


def _cluster(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    draw.line((0.5 * side, 0.08 * side, 0.5 * side, 0.3 * side), fill=skin[2], width=side // 40)
    for row, count in enumerate((4, 5, 5, 4, 3, 2, 1)):
        for i in range(count):
            x = 0.5 + (i - (count - 1) / 2) * 0.14 + random.uniform(-0.015, 0.015)
            _ball(draw, x * side, (0.26 + row * 0.1) * side, 0.078 * side, skin, random)


def _sticks(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    for i in range(6):
        x, lean = 0.24 + i * 0.105, random.uniform(-0.06, 0.06)
        top, low = (side * (x + lean), side * 0.2), (side * (x - lean), side * random.uniform(0.84, 0.92))
        draw.line((*top, *low), fill=tint(skin[0], random.uniform(-0.2, 0.1)), width=round(0.1 * side))
        draw.line(
            (top[0] - 0.02 * side, top[1], low[0] - 0.02 * side, low[1]),
            fill=skin[1],
            width=max(2, side // 70),
        )
        draw.ellipse(
            (top[0] - 0.06 * side, top[1] - 0.08 * side, top[0] + 0.06 * side, top[1] + 0.05 * side),
            fill=skin[2],
        )


def _leaves(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    for ring, count, r in ((0.3, 11, 0.17), (0.2, 9, 0.16), (0.08, 5, 0.15)):
        for i in range(count):
            a = 2 * math.pi * i / count + random.uniform(-0.2, 0.2)
            x, y = (0.5 + ring * math.cos(a)) * side, (0.54 + ring * math.sin(a)) * side
            tone = tint(skin[0], 0.25 - ring + random.uniform(-0.12, 0.12))
            draw.ellipse((x - r * side, y - r * side, x + r * side, y + r * side), fill=tint(tone, -0.2))
            draw.ellipse((x - r * side, y - r * side, x + 0.88 * r * side, y + 0.85 * r * side), fill=tone)
            draw.line((0.5 * side, 0.54 * side, x, y), fill=skin[1], width=max(1, side // 90))


def _bananas(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    for i in range(4):
        box = (
            (0.02 + 0.09 * i) * side,
            (-0.1 - 0.03 * i) * side,
            (0.86 + 0.06 * i) * side,
            (0.84 - 0.03 * i) * side,
        )
        draw.arc(box, 25, 130, fill=tint(skin[0], -0.1 * i + random.uniform(-0.05, 0.05)), width=round(0.13 * side))
    draw.rectangle((0.16 * side, 0.66 * side, 0.26 * side, 0.76 * side), fill=skin[2])


def _flowers(draw: Draw, side: int, skin: Skin, random: Random) -> None:
    for i in range(5):
        x, y = (0.22 + 0.14 * i) * side, random.uniform(0.22, 0.42) * side
        draw.line((0.5 * side, 0.95 * side, x, y), fill=skin[2], width=max(2, side // 45))
        for petal in range(6):
            a = petal * math.pi / 3
            px, py, r = x + 0.07 * side * math.cos(a), y + 0.07 * side * math.sin(a), 0.06 * side
            draw.ellipse((px - r, py - r, px + r, py + r), fill=tint(skin[0], random.uniform(-0.1, 0.2)))
        draw.ellipse((x - 0.04 * side, y - 0.04 * side, x + 0.04 * side, y + 0.04 * side), fill=skin[1])


SHAPES: dict[str, Callable[[Draw, int, Skin, Random], None]] = {
    "round": _pile, "cluster": _cluster, "stick": _sticks, "leafy": _leaves, "banana": _bananas,
    "flower": _flowers,
}  # fmt: skip
