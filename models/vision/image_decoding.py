"""Decodes pictures to arrays of one size, or says by a reason why that is impossible."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from larder.models.vision.image_signatures import is_cut_short, is_other_format, is_our_format, is_text

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# An MPO is a JPEG file with further pictures after the first, as phones write them; the first is used.
STILL_FORMATS = ("JPEG", "MPO")
PAPER = (255, 255, 255)
# Modes that can be resized directly. Others are converted first: palettes, transparent colours, 16-bit greys.
PLAIN_MODES = ("L", "RGB", "RGBA", "LA", "CMYK", "YCbCr")

EMPTY_FILE = "empty_file"
TEXT_FILE = "text_file"
UNSUPPORTED_FORMAT = "unsupported_format"
NOT_AN_IMAGE = "not_an_image"
BROKEN_HEADER = "broken_header"
TOO_MANY_PIXELS = "too_many_pixels"
TOO_SMALL = "too_small"
ANIMATED = "animated"
TRUNCATED = "truncated"
CORRUPT = "corrupt"
NOTHING_VISIBLE = "nothing_visible"
REASONS = (
    EMPTY_FILE, TEXT_FILE, UNSUPPORTED_FORMAT, NOT_AN_IMAGE, BROKEN_HEADER, TOO_MANY_PIXELS, TOO_SMALL, ANIMATED,
    TRUNCATED, CORRUPT, NOTHING_VISIBLE,
)  # fmt: skip


class ImageError(ValueError):
    """A picture cannot be used; `reason` is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def decode(data: bytes, image_size: int, max_pixels: int, min_side: int = 1) -> Pixels:
    """Returns the picture in `data` as uint8 (image_size, image_size, 3): upright, scaled to fit, on white.

    Decodes JPEG, PNG, WebP, GIF and BMP, with palettes, transparency, 16 bits, greys or CMYK. Raises ImageError and
    nothing else. A picture of more than `max_pixels`, or with a side below `min_side` pixels, is refused by its header,
    before any of it is decoded.
    """
    if not data:
        raise ImageError(EMPTY_FILE, "no bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of broken EXIF data and the like, once a picture
        with _opened(data) as image:
            _check(image, max_pixels, min_side)
            return _decoded(image, image_size)


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(TOO_MANY_PIXELS, str(error)) from None
    except Exception as error:
        raise ImageError(_why_not(data), str(error)) from None


def _why_not(data: bytes) -> str:
    """The reason why bytes cannot be opened as a picture."""
    if is_other_format(data):
        return UNSUPPORTED_FORMAT
    if is_text(data):
        return TEXT_FILE
    if is_cut_short(data):
        return TRUNCATED
    return BROKEN_HEADER if is_our_format(data) else NOT_AN_IMAGE


def _check(image: Image.Image, max_pixels: int, min_side: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(TOO_MANY_PIXELS, f"{image.width} x {image.height} is more than {max_pixels}")
    if min(image.size) < min_side:
        raise ImageError(TOO_SMALL, f"{image.width} x {image.height} has a side below {min_side}")
    if image.format not in STILL_FORMATS and getattr(image, "is_animated", False):
        raise ImageError(ANIMATED, f"{getattr(image, 'n_frames', 2)} frames")


def _decoded(image: Image.Image, side: int) -> Pixels:
    # Lets the JPEG decoder skip detail that resizing would discard: many times faster on photographs.
    image.draft(None, (2 * side, 2 * side))
    try:
        image.load()
        # Resized first, so that a large picture is in memory once, or twice if it must be converted before.
        small = _on_paper(_fitted(_plain(image), side))
        return _squared(_upright(small), side)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly any exception on broken data, and no picture may stop the job
        reason = TRUNCATED if "truncated" in str(error).lower() else CORRUPT
        raise ImageError(reason, str(error)) from None


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized."""
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit greys clips them at 255.
        values = np.asarray(image)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        return image.convert("RGBA")
    return image if image.mode in PLAIN_MODES else image.convert("RGB")


def _fitted(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _on_paper(image: Image.Image) -> Image.Image:
    """The picture in RGB, on white where it is transparent. Raises ImageError if it is fully transparent."""
    if image.mode not in ("RGBA", "LA"):
        return image.convert("RGB")
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (0, 0):
        raise ImageError(NOTHING_VISIBLE, "every pixel is transparent")
    paper = Image.new("RGBA", layer.size, (*PAPER, 255))
    flat = Image.alpha_composite(paper, layer).convert("RGB")
    flat.info = image.info  # the EXIF data in it are needed later
    return flat


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF data say; unchanged if they cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _squared(image: Image.Image, side: int) -> Pixels:
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)
