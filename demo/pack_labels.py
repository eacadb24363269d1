"""The artwork of a pack: the type of product gives pattern and picture, the maker gives colours and name."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

from demo.pack_emblems import CREAM, DARK, EMBLEMS, WHITE, Colour, Draw

# Common colours of packs.
MAKERS = (
    "c8102e", "d94f30", "e4772e", "f2a93b", "f4c542", "b9c540", "6fa84b", "2f7d4f",
    "1f6b5e", "1c7c8c", "2b8fc4", "2457a6", "24407e", "4b3b8f", "7c3f98", "a83279",
    "d6487e", "8c2332", "6b3e26", "a8743d", "343a40", "5d7183", "9fc4d8", "f0b7b0",
)  # fmt: skip
ACCENTS = (
    "e63946", "f3722c", "f9c74f", "90be6d", "43aa8b", "277da1", "577590", "9b5de5",
    "f15bb5", "00a6a6", "bc6c25", "606c38", "ffb703", "d62828", "3a86ff", "6d597a",
)  # fmt: skip
HOUSE_BRAND = "Larder"
_HEADS = (
    "Bel", "Nor", "Val", "Kin", "Mar", "Sol", "Tam", "Fen", "Gil",
    "Hal", "Ori", "Pem", "Rus", "Dal", "Cas", "Lum", "Wil", "Zan",
)  # fmt: skip
_TAILS = (
    "va", "ton", "do", "mill", "by", "sta", "ra", "well", "co",
    "lina", "field", "ley", "mond", "ka",
)  # fmt: skip


@dataclass(frozen=True)
class Art:
    """Everything that a label shows. `pattern` and `layout` index PATTERNS and LAYOUTS."""

    body: Colour
    accent: Colour
    emblem: str
    name: str
    pattern: int
    layout: int
    private: bool


def rgb(code: str) -> Colour:
    """Returns a colour such as `c8102e` as three bytes."""
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def tint(colour: Colour, share: float) -> Colour:
    """Returns the colour nearer to white by `share`, or nearer to black if `share` is negative."""
    goal = 255 if share > 0 else 0
    red, green, blue = (round(c + (goal - c) * abs(share)) for c in colour)
    return red, green, blue


def jittered(colour: Colour, random: Random, amount: float) -> Colour:
    """Returns the colour with hue, saturation and value changed a little, as prints and lamps do."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    h += random.gauss(0, 0.05 * amount)
    s = min(1.0, max(0.0, s * (1 + random.gauss(0, 0.25 * amount))))
    v = min(1.0, max(0.1, v * (1 + random.gauss(0, 0.18 * amount))))
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(h % 1.0, s, v))
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Returns dark or white, whichever can be read on the colour."""
    return DARK if 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 150 else WHITE


def maker_name(random: Random) -> str:
    return random.choice(_HEADS) + random.choice(_TAILS)


def draw_label(width: int, height: int, art: Art) -> Image.Image:
    """Returns the artwork, RGB, `width` x `height` pixels."""
    image = Image.new("RGB", (width, height), art.body)
    draw = ImageDraw.Draw(image)
    PATTERNS[art.pattern % len(PATTERNS)](draw, width, height, tint(art.body, 0.22 if not art.private else -0.09))
    LAYOUTS[art.layout % len(LAYOUTS)](draw, width, height, art)
    return image


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _plain(draw: Draw, w: int, h: int, tone: Colour) -> None:
    pass


def _stripes(draw: Draw, w: int, h: int, tone: Colour) -> None:
    step = max(6, w // 7)
    for x in range(0, w, step):
        draw.rectangle((x, 0, x + step // 2, h), fill=tone)


def _hoops(draw: Draw, w: int, h: int, tone: Colour) -> None:
    step = max(6, h // 7)
    for y in range(0, h, step):
        draw.rectangle((0, y, w, y + step // 2), fill=tone)


def _diagonals(draw: Draw, w: int, h: int, tone: Colour) -> None:
    step = max(8, w // 5)
    for x in range(-h, w, step):
        draw.line((x, h, x + h, 0), fill=tone, width=step // 2)


def _dots(draw: Draw, w: int, h: int, tone: Colour) -> None:
    step = max(10, min(w, h) // 5)
    for row, y in enumerate(range(0, h + step, step)):
        for x in range(-(row % 2) * step // 2, w + step, step):
            draw.ellipse((x - step * 0.27, y - step * 0.27, x + step * 0.27, y + step * 0.27), fill=tone)


def _checks(draw: Draw, w: int, h: int, tone: Colour) -> None:
    step = max(8, min(w, h) // 5)
    for row, y in enumerate(range(0, h, step)):
        for x in range((row % 2) * step, w, 2 * step):
            draw.rectangle((x, y, x + step - 1, y + step - 1), fill=tone)


def _rays(draw: Draw, w: int, h: int, tone: Colour) -> None:
    for turn in range(0, 360, 30):
        draw.pieslice((-w, h / 2 - 1.5 * w, 2 * w, h / 2 + 1.5 * w), turn, turn + 15, fill=tone)


def _waves(draw: Draw, w: int, h: int, tone: Colour) -> None:
    for level in range(3):
        base = h * (0.35 + 0.25 * level)
        crest = [(x, base + 0.06 * h * math.sin(x / w * 9 + level)) for x in range(0, w + 4, 4)]
        low = [(x, y + 0.1 * h) for x, y in reversed(crest)]
        draw.polygon(crest + low, fill=tone)


PATTERNS: tuple[Callable[[Draw, int, int, Colour], None], ...] = (
    _plain, _stripes, _hoops, _diagonals, _dots, _checks, _rays, _waves,
)  # fmt: skip


def _name(draw: Draw, x: float, y: float, room: tuple[float, float], colour: Colour, art: Art) -> None:
    width, height = room
    size = max(9, min(34, int(width / (0.58 * len(art.name))), int(0.19 * height)))
    draw.text((x, y), art.name, font=_font(size), fill=colour, anchor="mm")


def _emblem(draw: Draw, x: float, y: float, r: float, art: Art, plate: Colour | None) -> None:
    """Draws the picture, on a round plate if one is wanted."""
    if plate is not None:
        draw.ellipse((x - 1.35 * r, y - 1.35 * r, x + 1.35 * r, y + 1.35 * r), fill=plate)
    ink = tint(art.accent, -0.15) if plate is not None else ink_on(art.body)
    EMBLEMS[art.emblem](draw, x, y, r, ink)


def _centred(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.rectangle((0, 0, w, 0.24 * h), fill=art.accent)
    _name(draw, w / 2, 0.12 * h, (0.86 * w, h), ink_on(art.accent), art)
    _emblem(draw, w / 2, 0.6 * h, 0.22 * min(w, 1.15 * h), art, CREAM)


def _swash(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.polygon([(0, 0), (w, 0), (w, 0.22 * h), (0, 0.5 * h)], fill=art.accent)
    _name(draw, 0.5 * w, 0.17 * h, (0.8 * w, h), ink_on(art.accent), art)
    _emblem(draw, 0.62 * w, 0.68 * h, 0.21 * min(w, 1.2 * h), art, WHITE)


def _sidebar(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.rectangle((0, 0, 0.24 * w, h), fill=art.accent)
    _name(draw, 0.62 * w, 0.16 * h, (0.66 * w, h), ink_on(art.body), art)
    _emblem(draw, 0.62 * w, 0.6 * h, 0.26 * min(w, h), art, CREAM)


def _belt(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.rectangle((0, 0.56 * h, w, 0.82 * h), fill=WHITE if not art.private else art.accent)
    _name(draw, w / 2, 0.69 * h, (0.84 * w, h), DARK if not art.private else ink_on(art.accent), art)
    _emblem(draw, w / 2, 0.29 * h, 0.22 * min(w, 1.2 * h), art, CREAM)


def _medallion(draw: Draw, w: int, h: int, art: Art) -> None:
    r = 0.44 * min(w, h)
    draw.ellipse((w / 2 - r, 0.46 * h - r, w / 2 + r, 0.46 * h + r), fill=art.accent)
    _emblem(draw, w / 2, 0.42 * h, 0.5 * r, art, CREAM)
    draw.rectangle((0, 0.82 * h, w, h), fill=tint(art.body, -0.35))
    _name(draw, w / 2, 0.91 * h, (0.84 * w, h), WHITE, art)


def _trio(draw: Draw, w: int, h: int, art: Art) -> None:
    _name(draw, w / 2, 0.2 * h, (0.86 * w, h), ink_on(art.body), art)
    draw.rectangle((0, 0.42 * h, w, 0.86 * h), fill=CREAM)
    for place in (0.2, 0.5, 0.8):
        EMBLEMS[art.emblem](draw, place * w, 0.64 * h, 0.155 * min(w, 1.3 * h), tint(art.accent, -0.15))


def _arch(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.pieslice((-0.25 * w, 0.34 * h, 1.25 * w, 1.7 * h), 180, 360, fill=art.accent)
    _name(draw, w / 2, 0.15 * h, (0.84 * w, h), ink_on(art.body), art)
    _emblem(draw, w / 2, 0.66 * h, 0.21 * min(w, 1.2 * h), art, WHITE)


def _corner(draw: Draw, w: int, h: int, art: Art) -> None:
    draw.polygon([(0, h), (w, h), (w, 0.3 * h)], fill=art.accent)
    _emblem(draw, 0.33 * w, 0.36 * h, 0.22 * min(w, 1.2 * h), art, CREAM)
    _name(draw, 0.56 * w, 0.84 * h, (0.7 * w, h), ink_on(art.accent), art)


LAYOUTS: tuple[Callable[[Draw, int, int, Art], None], ...] = (
    _centred, _swash, _sidebar, _belt, _medallion, _trio, _arch, _corner,
)  # fmt: skip
