"""Packages as silhouettes: their outline, the place of the label, and the direction of the light."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from demo.pack_emblems import CREAM, WHITE, Colour, Draw
from demo.pack_labels import Art, draw_label, tint

Box = tuple[float, float, float, float]
METAL: Colour = (196, 200, 206)


@dataclass(frozen=True)
class Form:
    """A kind of package in a unit square: rounded boxes (x0, y0, x1, y1, radius) and outlines of points.

    `shade` is the shading: round (an upright cylinder), pillow (an air-filled bag) or flat. Faces outside the box
    `front` are turned away from the light. `stuff` is what is visible beside the label.
    """

    parts: tuple[tuple[float, ...] | tuple[tuple[float, float], ...], ...]
    label: Box
    shade: str = "flat"
    stuff: str = "body"
    lid: Box | None = None
    front: Box | None = None
    lines: tuple[Box, ...] = ()


def _zigzag(left: float, top: float, right: float, bottom: float, teeth: int = 12) -> tuple[tuple[float, float], ...]:
    """A bag with saw-toothed seams above and below."""
    xs = [left + (right - left) * i / teeth for i in range(teeth + 1)]
    upper = [(x, top + (0.02 if i % 2 else 0.0)) for i, x in enumerate(xs)]
    lower = [(x, bottom - (0.02 if i % 2 else 0.0)) for i, x in enumerate(xs)]
    return tuple(upper + lower[::-1])


FORMS: dict[str, Form] = {
    "can": Form(
        ((0.2, 0.1, 0.8, 0.92, 0.06),), (0.2, 0.17, 0.8, 0.85), "round", "metal",
        lines=((0.2, 0.16, 0.8, 0.16), (0.2, 0.86, 0.8, 0.86)),
    ),
    "canister": Form(
        ((0.27, 0.08, 0.73, 0.94, 0.03),), (0.27, 0.2, 0.73, 0.9), "round", "metal",
        (0.25, 0.06, 0.75, 0.19),
    ),
    "bottle": Form(
        ((0.33, 0.34, 0.67, 0.96, 0.07), ((0.44, 0.14), (0.56, 0.14), (0.67, 0.42), (0.33, 0.42))),
        (0.33, 0.46, 0.67, 0.82), "round", "liquid", (0.43, 0.05, 0.57, 0.15),
    ),
    "jug": Form(
        ((0.24, 0.32, 0.78, 0.95, 0.09), ((0.36, 0.16), (0.56, 0.16), (0.78, 0.42), (0.24, 0.42)),
        (0.6, 0.22, 0.8, 0.5, 0.08)),
        (0.24, 0.54, 0.78, 0.88), "round", "milky", (0.36, 0.07, 0.56, 0.17),
        lines=((0.66, 0.32, 0.7, 0.44),),
    ),
    "carton": Form(
        ((0.27, 0.3, 0.75, 0.95, 0.0), ((0.27, 0.3), (0.34, 0.15), (0.69, 0.15), (0.75, 0.3)),
        (0.34, 0.07, 0.69, 0.16, 0.0)),
        (0.27, 0.3, 0.66, 0.95), "flat", "body", front=(0.0, 0.3, 0.66, 1.0),
        lines=((0.34, 0.16, 0.69, 0.16),),
    ),
    "box": Form(
        ((0.2, 0.08, 0.72, 0.94, 0.0), ((0.72, 0.08), (0.84, 0.13), (0.84, 0.89), (0.72, 0.94))),
        (0.2, 0.08, 0.72, 0.94), front=(0.2, 0.0, 0.72, 1.0),
    ),
    "flatbox": Form(
        ((0.05, 0.3, 0.95, 0.82, 0.0), ((0.05, 0.3), (0.13, 0.2), (0.87, 0.2), (0.95, 0.3))),
        (0.05, 0.3, 0.95, 0.82), front=(0.0, 0.3, 1.0, 1.0),
    ),
    "case": Form(
        ((0.05, 0.34, 0.78, 0.88, 0.0), ((0.05, 0.34), (0.2, 0.2), (0.95, 0.2), (0.78, 0.34)),
         ((0.78, 0.34), (0.95, 0.2), (0.95, 0.76), (0.78, 0.88))),
        (0.05, 0.34, 0.78, 0.88), front=(0.0, 0.34, 0.78, 1.0), lines=((0.42, 0.27, 0.58, 0.27),),
    ),
    "block": Form(
        ((0.07, 0.42, 0.88, 0.76, 0.02), ((0.07, 0.43), (0.17, 0.3), (0.95, 0.3), (0.88, 0.43)),
         ((0.88, 0.42), (0.95, 0.3), (0.95, 0.64), (0.88, 0.76))),
        (0.07, 0.42, 0.88, 0.76), front=(0.0, 0.42, 0.88, 1.0),
    ),
    "pillow": Form(
        (_zigzag(0.15, 0.06, 0.85, 0.95),), (0.15, 0.11, 0.85, 0.9), "pillow", "body",
        lines=((0.15, 0.11, 0.85, 0.11), (0.15, 0.9, 0.85, 0.9)),
    ),
    "pouch": Form(
        (((0.22, 0.07), (0.78, 0.07), (0.85, 0.92), (0.7, 0.96), (0.3, 0.96), (0.15, 0.92)),),
        (0.15, 0.14, 0.85, 0.92), "pillow", "body", lines=((0.22, 0.13, 0.78, 0.13),
        (0.45, 0.1, 0.55, 0.1)),
    ),
    "sack": Form(
        (((0.2, 0.14), (0.8, 0.14), (0.84, 0.3), (0.84, 0.9), (0.78, 0.95), (0.22, 0.95),
        (0.16, 0.9), (0.16, 0.3)),),
        (0.16, 0.28, 0.84, 0.92), "pillow", "paper", lines=((0.19, 0.2, 0.81, 0.2),
        (0.17, 0.27, 0.83, 0.27)),
    ),
    "jar": Form(
        ((0.26, 0.22, 0.74, 0.94, 0.1),), (0.26, 0.4, 0.74, 0.82), "round", "liquid",
        (0.29, 0.1, 0.71, 0.25),
    ),
    "tub": Form(
        (((0.13, 0.3), (0.87, 0.3), (0.77, 0.88), (0.23, 0.88)),), (0.13, 0.33, 0.87, 0.87),
        "round", "body", (0.1, 0.2, 0.9, 0.32),
    ),
    "tube": Form(
        ((0.33, 0.04, 0.67, 0.96, 0.05),), (0.33, 0.12, 0.67, 0.88), "round", "metal",
        lines=((0.33, 0.11, 0.67, 0.11), (0.33, 0.89, 0.67, 0.89)),
    ),
    "loaf": Form(
        ((0.05, 0.32, 0.84, 0.84, 0.14), ((0.78, 0.46), (0.9, 0.54), (0.98, 0.42), (0.98, 0.74),
        (0.9, 0.62), (0.78, 0.72))),
        (0.13, 0.32, 0.7, 0.84), "pillow", "crust",
    ),
    "slim": Form(
        ((0.29, 0.18, 0.71, 0.88, 0.02),), (0.29, 0.36, 0.71, 0.88), "flat", "milky",
        lines=((0.29, 0.35, 0.71, 0.35),),
    ),
    "bar": Form(
        (tuple((y, x) for x, y in _zigzag(0.36, 0.03, 0.66, 0.97, 8)),), (0.1, 0.36, 0.9, 0.66),
        "pillow", "body",
        lines=((0.1, 0.36, 0.1, 0.66), (0.9, 0.36, 0.9, 0.66)),
    ),
    "rolls": Form(
        ((0.1, 0.14, 0.9, 0.92, 0.08),), (0.1, 0.34, 0.9, 0.78), "flat", "milky",
        lines=((0.37, 0.14, 0.37, 0.34), (0.63, 0.14, 0.63, 0.34), (0.37, 0.78, 0.37, 0.92),
        (0.63, 0.78, 0.63, 0.92)),
    ),
    "eggs": Form(
        ((0.05, 0.5, 0.95, 0.82, 0.05), *((0.07 + 0.22 * i, 0.36, 0.27 + 0.22 * i, 0.6, 0.1)
        for i in range(4))),
        (0.16, 0.56, 0.84, 0.82), "flat", "paper",
    ),
    "sheet": Form(((0.2, 0.08, 0.8, 0.94, 0.0),), (0.2, 0.08, 0.8, 0.94)),
    "tray": Form(((0.05, 0.2, 0.95, 0.84, 0.07),), (0.56, 0.25, 0.89, 0.6), "flat", "milky"),
    "clamshell": Form(((0.08, 0.24, 0.92, 0.86, 0.06),), (0.3, 0.44, 0.7, 0.74), "flat", "milky"),
}  # fmt: skip


def draw_pack(form: Form, art: Art, skin: tuple[Colour, Colour], side: int, filling: Random) -> Image.Image:
    """Returns the package, RGBA, `side` x `side` pixels; `filling` draws the content of trays and clamshells."""
    mask = _silhouette(form, side)
    stuff = _stuff(form, art, skin)
    image = Image.new("RGB", (side, side), stuff)
    draw = ImageDraw.Draw(image)
    if form in (FORMS["tray"], FORMS["clamshell"]):
        _fill(draw, side, skin, round_pieces=form is FORMS["clamshell"], random=filling)
    x0, y0, x1, y1 = (round(v * side) for v in form.label)
    image.paste(draw_label(x1 - x0, y1 - y0, art), (x0, y0))
    image = _lit(image, form, side)
    draw = ImageDraw.Draw(image)
    for line in form.lines:
        draw.line([v * side for v in line], fill=tint(art.body, -0.45), width=max(1, side // 70))
    if form.lid is not None:
        _lid(draw, mask, form.lid, art, side)
    image.putalpha(mask)
    return image


def _silhouette(form: Form, side: int) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for part in form.parts:
        if isinstance(part[0], tuple):
            draw.polygon([(p[0] * side, p[1] * side) for p in part if isinstance(p, tuple)], fill=255)
        else:
            x0, y0, x1, y1, radius = (float(v) * side for v in part if not isinstance(v, tuple))
            draw.rounded_rectangle((x0, y0, x1, y1), radius, fill=255)
    return mask


def _stuff(form: Form, art: Art, skin: tuple[Colour, Colour]) -> Colour:
    return {
        "body": tint(art.body, -0.1), "metal": METAL, "liquid": skin[0], "milky": (240, 240, 236),
        "paper": (222, 206, 178), "crust": (214, 160, 92),
    }[form.stuff]  # fmt: skip


def _fill(draw: Draw, side: int, skin: tuple[Colour, Colour], round_pieces: bool, random: Random) -> None:
    """Draws rows of fruit, or cuts of meat side by side."""
    if round_pieces:
        r = 0.085 * side
        for row in range(5):
            for column in range(7):
                x = (0.12 + 0.13 * column + random.uniform(-0.02, 0.02)) * side
                y = (0.3 + 0.125 * row + random.uniform(-0.02, 0.02)) * side
                draw.ellipse((x - r, y - r, x + r, y + r), fill=tint(skin[0], random.uniform(-0.2, 0.15)))
                draw.ellipse((x - r * 0.5, y - r * 0.6, x, y - r * 0.1), fill=skin[1])
        return
    for x0, x1 in ((0.1, 0.5), (0.36, 0.88)):
        top = 0.28 + random.uniform(-0.03, 0.03)
        box = (x0 * side, top * side, x1 * side, (top + 0.48) * side)
        draw.ellipse(box, fill=CREAM)
        inner = (box[0] + 0.025 * side, box[1] + 0.025 * side, box[2] - 0.025 * side, box[3] - 0.025 * side)
        draw.ellipse(inner, fill=tint(skin[0], random.uniform(-0.15, 0.1)))
        draw.arc(
            inner,
            random.randrange(150, 200),
            random.randrange(260, 330),
            fill=skin[1],
            width=max(2, side // 40),
        )


def _lit(image: Image.Image, form: Form, side: int) -> Image.Image:
    """Shades a package by its roundness; faces that are turned away are darker, except the side of a lid."""
    across = np.linspace(-1, 1, side)
    x0, y0, x1, y1 = form.label
    middle, half = (x0 + x1) - 1, max(x1 - x0, 0.1)
    bend = np.clip((across - middle) / half, -1, 1)
    light = np.ones((side, side))
    if form.shade == "round":
        light *= (0.55 + 0.55 * np.sqrt(1 - 0.9 * bend**2) + 0.18 * np.exp(-(((bend + 0.45) / 0.12) ** 2)))[None, :]
    elif form.shade == "pillow":
        down = np.clip((across - ((y0 + y1) - 1)) / max(y1 - y0, 0.1), -1, 1)
        light *= 1.1 - 0.3 * bend[None, :] ** 4 - 0.3 * down[:, None] ** 4
        light += 0.14 * np.exp(-(((bend[None, :] + 0.3 * down[:, None] + 0.35) / 0.14) ** 2))
    if form.front is not None:
        top, right = round(form.front[1] * side), round(form.front[2] * side)
        light[:, right:] *= 0.7
        light[:top, :right] *= 1.15
    return _times(image, light)


def _times(image: Image.Image, light: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(image) * light[:, :, None], 0, 255).astype(np.uint8))


def _lid(draw: Draw, mask: Image.Image, lid: Box, art: Art, side: int) -> None:
    box = [v * side for v in lid]
    colour = art.accent if not art.private else WHITE
    draw.rounded_rectangle(box, 0.02 * side, fill=colour)
    for x in np.linspace(box[0], box[2], 9)[1:-1]:
        draw.line((x, box[1] + 2, x, box[3] - 2), fill=tint(colour, -0.18))
    cover = Image.new("L", mask.size, 0)
    ImageDraw.Draw(cover).rounded_rectangle(box, 0.02 * side, fill=255)
    mask.paste(ImageChops.lighter(mask, cover))
