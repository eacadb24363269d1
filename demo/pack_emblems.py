"""The pictures on labels and the patterns behind them, drawn from circles, arcs and polygons."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import ImageDraw

Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw
Emblem = Callable[[Draw, float, float, float, Colour], None]

RED, GREEN, LEAF, YELLOW, ORANGE = (
    (206, 52, 44),
    (104, 158, 60),
    (62, 116, 52),
    (245, 205, 72),
    (240, 145, 44),
)
BROWN, TAN, CREAM, WHITE, PURPLE = (
    (122, 76, 44),
    (218, 170, 106),
    (250, 240, 214),
    (252, 252, 250),
    (112, 62, 130),
)
PINK, STEEL, DARK = (232, 128, 130), (96, 140, 176), (60, 44, 40)


def _disc(draw: Draw, x: float, y: float, r: float, colour: Colour, squash: float = 1.0) -> None:
    draw.ellipse((x - r, y - r * squash, x + r, y + r * squash), fill=colour)


def _shape(draw: Draw, x: float, y: float, r: float, points: list[tuple[float, float]], colour: Colour) -> None:
    draw.polygon([(x + r * px, y + r * py) for px, py in points], fill=colour)


def _spikes(count: int, inner: float, turn: float = -0.25) -> list[tuple[float, float]]:
    """A star's outline within the unit circle."""
    angles = [(turn + step / (2 * count)) * 2 * math.pi for step in range(2 * count)]
    reach = [1.0 if step % 2 == 0 else inner for step in range(2 * count)]
    return [(far * math.cos(a), far * math.sin(a)) for far, a in zip(reach, angles, strict=True)]


def _fish(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(0.35, 0), (1, -0.5), (1, 0.5)], STEEL)
    _disc(draw, x - 0.15 * r, y, 0.8 * r, STEEL, 0.5)
    _disc(draw, x - 0.6 * r, y - 0.1 * r, 0.12 * r, WHITE)
    draw.arc((x - 0.6 * r, y - 0.35 * r, x - 0.1 * r, y + 0.35 * r), -60, 60, fill=WHITE, width=2)


def _berries(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for dx, dy, colour in ((-0.42, 0.3, RED), (0.42, 0.3, PURPLE), (0, -0.3, RED)):
        _disc(draw, x + dx * r, y + dy * r, 0.46 * r, colour)
        _disc(draw, x + (dx - 0.14) * r, y + (dy - 0.16) * r, 0.1 * r, WHITE)
    _shape(draw, x, y, r, [(0, -0.7), (0.75, -1), (0.55, -0.45)], LEAF)


def _slice(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y, r, ORANGE)
    _disc(draw, x, y, 0.84 * r, CREAM)
    for step in range(8):
        draw.pieslice(
            (x - 0.76 * r, y - 0.76 * r, x + 0.76 * r, y + 0.76 * r),
            step * 45 + 4,
            step * 45 + 41,
            fill=ORANGE,
        )


def _apple(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x - 0.3 * r, y + 0.15 * r, 0.62 * r, RED, 1.2)
    _disc(draw, x + 0.3 * r, y + 0.15 * r, 0.62 * r, RED, 1.2)
    draw.line((x, y - 0.4 * r, x + 0.1 * r, y - r), fill=BROWN, width=max(2, int(r / 7)))
    _shape(draw, x, y, r, [(0.1, -0.7), (0.5, -1), (0.85, -0.75), (0.4, -0.6)], GREEN)


def _tomato(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y + 0.1 * r, r, RED, 0.88)
    _shape(draw, x, y - 0.55 * r, 0.65 * r, _spikes(5, 0.35), LEAF)


def _carrot(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-0.85, 0.95), (0.1, -0.5), (0.5, -0.1)], ORANGE)
    for px, py in ((0.5, -1.0), (0.8, -0.8), (1.0, -0.45)):
        draw.line((x + 0.3 * r, y - 0.3 * r, x + px * r, y + py * r), fill=LEAF, width=max(2, int(r / 5)))


def _mushroom(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.rounded_rectangle((x - 0.3 * r, y - 0.1 * r, x + 0.3 * r, y + 0.95 * r), 0.2 * r, fill=CREAM)
    draw.pieslice((x - r, y - 0.9 * r, x + r, y + 0.9 * r), 180, 360, fill=BROWN)


def _corn(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.ellipse((x - 0.42 * r, y - r, x + 0.42 * r, y + 0.9 * r), fill=YELLOW)
    for row in range(5):
        for side in (-0.18, 0.18):
            _disc(draw, x + side * r, y + (-0.65 + row * 0.28) * r, 0.08 * r, ORANGE)
    _shape(draw, x, y, r, [(-0.2, 1), (-0.85, -0.2), (0, 0.55)], LEAF)
    _shape(draw, x, y, r, [(0.2, 1), (0.85, -0.2), (0, 0.55)], LEAF)


def _peas(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.chord((x - r, y - 1.1 * r, x + r, y + 0.7 * r), 0, 180, fill=LEAF)
    for dx in (-0.55, 0, 0.55):
        _disc(draw, x + dx * r, y - 0.1 * r, 0.32 * r, GREEN)


def _pizza(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y, r, TAN)
    _disc(draw, x, y, 0.82 * r, YELLOW)
    for step in range(6):
        a = step * math.pi / 3
        _disc(draw, x + 0.5 * r * math.cos(a), y + 0.5 * r * math.sin(a), 0.19 * r, RED)


def _egg(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y, r, WHITE, 0.8)
    _disc(draw, x + 0.1 * r, y, 0.42 * r, YELLOW)


def _cheese(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-1, 0.2), (0.5, -0.7), (1, 0.0), (1, 0.7), (-1, 0.7)], YELLOW)
    _shape(draw, x, y, r, [(-1, 0.2), (0.5, -0.7), (1, 0.05)], CREAM)
    for dx, dy, size in ((-0.4, 0.45, 0.16), (0.2, 0.35, 0.12), (0.65, 0.48, 0.15)):
        _disc(draw, x + dx * r, y + dy * r, size * r, ORANGE)


def _steak(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-0.9, 0.1), (-0.5, -0.7), (0.5, -0.75), (1, -0.1), (0.5, 0.8), (-0.3, 0.6)], CREAM)
    _shape(draw, x, y, r, [(-0.7, 0.1), (-0.4, -0.5), (0.45, -0.55), (0.8, -0.1), (0.4, 0.6), (-0.2, 0.4)], RED)
    _disc(draw, x + 0.2 * r, y - 0.1 * r, 0.2 * r, CREAM)


def _drumstick(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.line((x, y, x + 0.8 * r, y + 0.8 * r), fill=CREAM, width=max(3, int(r / 3)))
    _disc(draw, x + 0.85 * r, y + 0.62 * r, 0.2 * r, CREAM)
    _disc(draw, x + 0.62 * r, y + 0.85 * r, 0.2 * r, CREAM)
    _disc(draw, x - 0.25 * r, y - 0.25 * r, 0.68 * r, (196, 118, 52))
    _disc(draw, x - 0.45 * r, y - 0.45 * r, 0.18 * r, TAN)


def _noodles(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for row in range(5):
        level = y + (-0.8 + row * 0.4) * r
        for half in range(3):
            left = x + (-0.95 + half * 0.63) * r
            turn = (180, 360) if half % 2 else (0, 180)
            draw.arc(
                (left, level - 0.25 * r, left + 0.63 * r, level + 0.25 * r),
                *turn,
                fill=YELLOW,
                width=max(3, int(r / 5)),
            )


def _bowl(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for dx in (-0.4, 0, 0.4):
        draw.arc((x + (dx - 0.15) * r, y - r, x + (dx + 0.15) * r, y - 0.3 * r), 90, 270, fill=ink, width=2)
    draw.chord((x - r, y - 0.9 * r, x + r, y + 0.9 * r), 0, 180, fill=ink)
    _disc(draw, x, y, r, TAN, 0.22)


def _mug(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.arc((x + 0.2 * r, y - 0.4 * r, x + r, y + 0.5 * r), -90, 90, fill=BROWN, width=max(3, int(r / 5)))
    draw.rounded_rectangle((x - 0.8 * r, y - 0.6 * r, x + 0.5 * r, y + 0.8 * r), 0.25 * r, fill=BROWN)
    _disc(draw, x - 0.15 * r, y - 0.55 * r, 0.62 * r, CREAM, 0.25)


def _drop(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(0, -1), (0.56, 0.1), (-0.56, 0.1)], ink)
    _disc(draw, x, y + 0.3 * r, 0.62 * r, ink)
    _disc(draw, x - 0.2 * r, y + 0.35 * r, 0.17 * r, WHITE)


def _chip(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for dx, dy, colour in ((-0.3, -0.25, ORANGE), (0.35, 0.0, YELLOW), (-0.15, 0.45, TAN)):
        _disc(draw, x + dx * r, y + dy * r, 0.62 * r, colour, 0.72)
        _disc(draw, x + dx * r, y + dy * r, 0.1 * r, BROWN)


def _cookie(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y, r, TAN)
    for dx, dy in ((-0.45, -0.3), (0.2, -0.5), (0.5, 0.1), (-0.1, 0.1), (-0.4, 0.5), (0.25, 0.6)):
        _disc(draw, x + dx * r, y + dy * r, 0.16 * r, BROWN)


def _candy(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-0.3, 0), (-1, -0.5), (-1, 0.5)], PINK)
    _shape(draw, x, y, r, [(0.3, 0), (1, -0.5), (1, 0.5)], PINK)
    _disc(draw, x, y, 0.58 * r, RED)
    draw.arc(
        (x - 0.35 * r, y - 0.35 * r, x + 0.35 * r, y + 0.35 * r),
        20,
        250,
        fill=WHITE,
        width=max(2, int(r / 6)),
    )


def _wheat(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.line((x, y + r, x, y - 0.7 * r), fill=TAN, width=2)
    for row in range(4):
        level = y + (-0.6 + row * 0.38) * r
        for side in (-1, 1):
            _shape(
                draw,
                x,
                level,
                r,
                [(0, 0.2), (side * 0.15, -0.2), (side * 0.6, -0.4), (side * 0.45, 0.05)],
                YELLOW,
            )


def _paw(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x, y + 0.35 * r, 0.55 * r, ink, 0.85)
    for dx, dy in ((-0.72, -0.1), (-0.27, -0.6), (0.27, -0.6), (0.72, -0.1)):
        _disc(draw, x + dx * r, y + dy * r, 0.24 * r, ink, 1.2)


def _bone(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.line((x - 0.6 * r, y + 0.3 * r, x + 0.6 * r, y - 0.3 * r), fill=ink, width=max(4, int(r / 2.6)))
    for dx, dy in ((-0.8, 0.15), (-0.55, 0.6), (0.8, -0.15), (0.55, -0.6)):
        _disc(draw, x + dx * r, y + dy * r, 0.28 * r, ink)


def _snowflake(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for step in range(3):
        dx, dy = math.cos(step * math.pi / 3) * r, math.sin(step * math.pi / 3) * r
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=ink, width=max(2, int(r / 6)))
    _shape(draw, x, y, 0.5 * r, _spikes(6, 0.5), ink)


def _leaf(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-0.9, 0.9), (-0.7, -0.3), (0, -0.85), (0.95, -0.95), (0.85, 0), (0.3, 0.7)], GREEN)
    draw.line((x - 0.9 * r, y + 0.9 * r, x + 0.6 * r, y - 0.6 * r), fill=CREAM, width=2)


def _bubbles(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for dx, dy, size in ((-0.35, 0.35, 0.5), (0.45, 0.1, 0.38), (-0.1, -0.5, 0.3), (0.4, -0.7, 0.2)):
        _disc(draw, x + dx * r, y + dy * r, size * r, ink)
        _disc(draw, x + (dx - size * 0.3) * r, y + (dy - size * 0.3) * r, size * 0.28 * r, WHITE)


def _flame(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(
        draw,
        x,
        y,
        r,
        [(0, -1), (0.6, -0.1), (0.7, 0.5), (0.2, 1), (-0.3, 1), (-0.7, 0.4), (-0.35, -0.2)],
        RED,
    )
    _shape(draw, x, y, r, [(0, -0.2), (0.35, 0.4), (0.1, 0.95), (-0.2, 0.95), (-0.4, 0.5)], YELLOW)


def _flower(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    for step in range(6):
        a = step * math.pi / 3
        _disc(draw, x + 0.55 * r * math.cos(a), y + 0.55 * r * math.sin(a), 0.4 * r, ink)
    _disc(draw, x, y, 0.34 * r, YELLOW)


def _mountain(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _shape(draw, x, y, r, [(-1, 0.7), (-0.25, -0.7), (0.5, 0.7)], ink)
    _shape(draw, x, y, r, [(-0.1, 0.7), (0.5, -0.2), (1, 0.7)], ink)
    _shape(draw, x, y, r, [(-0.46, -0.3), (-0.25, -0.7), (-0.04, -0.3)], WHITE)


def _heart(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    _disc(draw, x - 0.42 * r, y - 0.3 * r, 0.5 * r, ink)
    _disc(draw, x + 0.42 * r, y - 0.3 * r, 0.5 * r, ink)
    _shape(draw, x, y, r, [(-0.88, -0.1), (0.88, -0.1), (0, 0.95)], ink)


def _ring(draw: Draw, x: float, y: float, r: float, ink: Colour) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=max(4, int(r / 3)))
    _disc(draw, x, y, 0.3 * r, ink)


def _outline(points: list[tuple[float, float]]) -> Emblem:
    return lambda draw, x, y, r, ink: _shape(draw, x, y, r, points, ink)


EMBLEMS: dict[str, Emblem] = {
    "fish": _fish, "berries": _berries, "slice": _slice, "apple": _apple, "tomato": _tomato,
    "carrot": _carrot, "mushroom": _mushroom, "corn": _corn, "peas": _peas, "pizza": _pizza,
    "egg": _egg, "cheese": _cheese, "steak": _steak, "drumstick": _drumstick, "noodles": _noodles,
    "bowl": _bowl, "mug": _mug, "drop": _drop, "chip": _chip, "cookie": _cookie, "candy": _candy,
    "wheat": _wheat, "paw": _paw, "bone": _bone, "snowflake": _snowflake, "leaf": _leaf,
    "bubbles": _bubbles, "flame": _flame, "flower": _flower, "mountain": _mountain, "heart": _heart,
    "ring": _ring, "star": _outline(_spikes(5, 0.42)), "sun": _outline(_spikes(12, 0.62)),
    "diamond": _outline([(0, -1), (0.7, 0), (0, 1), (-0.7, 0)]),
    "crown": _outline([(-0.9, 0.7), (-1, -0.5), (-0.45, 0), (0, -0.8), (0.45, 0), (1, -0.5), (0.9, 0.7)]),
    "shield": _outline([(-0.8, -0.9), (0.8, -0.9), (0.8, 0.1), (0, 1), (-0.8, 0.1)]),
}  # fmt: skip
