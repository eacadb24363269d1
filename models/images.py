"""Encoded pictures to arrays of one size, or the reason why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# An MPO is a JPEG with a second picture in it, as phones write it; the first one is meant.
STILL_FORMATS = ("JPEG", "MPO")
PAPER = (255, 255, 255)

EMPTY_FILE = "empty_file"
NOT_AN_IMAGE = "not_an_image"
TOO_MANY_PIXELS = "too_many_pixels"
ANIMATED = "animated"
TRUNCATED = "truncated"
CORRUPT = "corrupt"
REASONS = (EMPTY_FILE, NOT_AN_IMAGE, TOO_MANY_PIXELS, ANIMATED, TRUNCATED, CORRUPT)


class ImageError(ValueError):
    """A picture that cannot be used; `reason` is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def decode(data: bytes, image_size: int, max_pixels: int) -> Pixels:
    """The picture in `data`, uint8, image_size x image_size x RGB: turned upright, shrunk or grown to fit, on white.

    Takes JPEG, PNG, WebP, GIF and BMP, with palettes, transparency, 16 bits, greys or CMYK. Raises ImageError; a
    picture of more than `max_pixels` is refused by what its header says, before any of it is decoded.
    """
    if not data:
        raise ImageError(EMPTY_FILE, "no bytes")
    with _opened(data) as image:
        _check(image, max_pixels)
        # A JPEG decoder can skip detail that would be thrown away: many times faster on photographs.
        image.draft(None, (2 * image_size, 2 * image_size))
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            reason = TRUNCATED if "truncated" in str(error).lower() else CORRUPT
            raise ImageError(reason, str(error)) from None
        return _squared(_as_rgb(upright), image_size)


def _opened(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # our own limit is checked next
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageError(TOO_MANY_PIXELS, str(error)) from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
            raise ImageError(NOT_AN_IMAGE, str(error)) from None


def _check(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(TOO_MANY_PIXELS, f"{image.width} x {image.height} is more than {max_pixels}")
    if image.format not in STILL_FORMATS and getattr(image, "is_animated", False):
        raise ImageError(ANIMATED, f"{getattr(image, 'n_frames', 2)} frames")


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit greys clips at 255.
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (*PAPER, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _squared(image: Image.Image, side: int) -> Pixels:
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(square)
