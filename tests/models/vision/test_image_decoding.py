"""Every kind of picture, and every reason why not, from bytes that Pillow wrote."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from larder.models.vision import image_decoding
from larder.models.vision.image_decoding import ImageError, decode
from larder.settings import MOST_PIXELS, VisionSettings

SIDE = 16
RED, WHITE, GREEN = (200, 30, 40), (255, 255, 255), (20, 160, 60)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def decoded(data: bytes, max_pixels: int = 10_000) -> np.ndarray:
    array = decode(data, SIDE, max_pixels)
    assert array.shape == (SIDE, SIDE, 3)
    assert array.dtype == np.uint8
    return array


def near(pixel: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= tolerance)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_formats(format: str) -> None:
    assert near(decoded(encoded(Image.new("RGB", (40, 40), RED), format))[8, 8], RED)


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (3, 1), (400, 4)])
def test_aspect_is_kept_and_the_rest_is_white(size: tuple[int, int]) -> None:
    array = decoded(encoded(Image.new("RGB", size, RED), "PNG"))
    red = sum(near(pixel, RED) for pixel in array.reshape(-1, 3))
    assert near(array[8, 8], RED) or size == (400, 4)
    assert red == SIDE * max(1, round(SIDE * min(size) / max(size)))
    assert near(array[0, 0], WHITE) or size[1] > size[0]


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (20, 20), (*RED, 0))
    image.paste((*RED, 255), (0, 0, 20, 10))
    array = decoded(encoded(image, "PNG"))
    assert near(array[2, 8], RED) and near(array[13, 8], WHITE)


def test_half_transparent_is_half_white() -> None:
    array = decoded(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 128)), "PNG"))
    assert near(array[8, 8], (127, 127, 127), 2)


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([*GREEN, *RED])
    image.paste(0, (0, 0, 20, 10))
    array = decoded(encoded(image, "PNG", transparency=1))
    assert near(array[2, 8], GREEN) and near(array[13, 8], WHITE)


def test_greys_of_eight_and_sixteen_bits() -> None:
    assert near(decoded(encoded(Image.new("L", (20, 20), 90), "PNG"))[8, 8], (90, 90, 90))
    deep = Image.fromarray(np.full((20, 20), 90 << 8, np.uint16))
    assert near(decoded(encoded(deep, "PNG"))[8, 8], (90, 90, 90))


def test_colours_of_sixteen_bits() -> None:
    deep = struct.pack(">HHH", *(value << 8 | 0xFF for value in RED)) * 20
    assert near(decoded(png(20, 20, zlib.compress((b"\0" + deep) * 20), depth=16))[8, 8], RED, 1)


def test_black_and_white_of_one_bit() -> None:
    assert near(decoded(encoded(Image.new("1", (20, 20), 0), "PNG"))[8, 8], (0, 0, 0))


def test_grey_with_transparency() -> None:
    array = decoded(encoded(Image.new("LA", (20, 20), (90, 128)), "PNG"))
    assert near(array[8, 8], (172, 172, 172), 2)


def test_a_colour_that_stands_for_transparency() -> None:
    image = Image.new("RGB", (20, 20), RED)
    image.paste(GREEN, (0, 0, 20, 10))
    array = decoded(encoded(image, "PNG", transparency=RED))
    assert near(array[2, 8], GREEN) and near(array[13, 8], WHITE)


def test_what_is_transparent_does_not_bleed() -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 400, 200))
    array = decoded(encoded(image, "PNG"), 200_000)
    assert (array.reshape(-1, 3).min(axis=0) >= np.array(RED) - 2).all()  # the black that nobody sees has no share


def test_broken_exif_data_are_no_obstacle() -> None:
    data = encoded(Image.new("RGB", (20, 20), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert near(decoded(data)[8, 8], RED)


def test_exif_and_transparency_go_together() -> None:
    image = Image.new("RGBA", (32, 32), (*RED, 0))
    image.paste((*RED, 255), (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3
    for format in ("PNG", "WEBP"):
        array = decoded(encoded(image, format, exif=exif))
        assert near(array[13, 8], RED, 20) and near(array[2, 8], WHITE)


def test_cmyk() -> None:
    image = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    assert near(decoded(encoded(image, "JPEG"))[8, 8], (255, 0, 0), 20)


def test_a_colour_profile_is_no_obstacle() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(decoded(encoded(Image.new("RGB", (20, 20), RED), "JPEG", icc_profile=profile))[8, 8], RED)


@pytest.mark.parametrize(("orientation", "row", "column"), [(1, 2, 8), (3, 13, 8), (6, 8, 13), (8, 8, 2)])
def test_exif_turns_the_picture_upright(orientation: int, row: int, column: int) -> None:
    image = Image.new("RGB", (32, 32), WHITE)
    image.paste(RED, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = decoded(encoded(image, "JPEG", exif=exif, quality=95))
    assert near(array[row, column], RED)
    assert near(array[SIDE - 1 - row, SIDE - 1 - column], WHITE)


def test_a_phone_picture_with_a_second_one_inside_is_the_first() -> None:
    first, second = Image.new("RGB", (40, 40), RED), Image.new("RGB", (40, 40), GREEN)
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert near(decoded(data)[8, 8], RED)


def test_a_big_photograph_is_as_if_decoded_whole() -> None:
    gradient = np.tile(np.linspace(0, 255, 800).astype(np.uint8)[None, :, None], (800, 1, 3))
    array = decoded(encoded(Image.fromarray(gradient), "JPEG", quality=95), max_pixels=800 * 800)
    expected = np.linspace(0, 255, 800).reshape(SIDE, -1).mean(axis=1)
    assert np.abs(array[8, :, 0] - expected).max() < 6


def test_the_same_bytes_give_the_same_pixels() -> None:
    data = encoded(Image.effect_noise((60, 50), 80).convert("RGB"), "JPEG")
    assert (decoded(data) == decoded(data)).all()


JPEG = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")
PNG = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), "PNG")


def frames(format: str) -> bytes:
    others = [Image.new("RGB", (20, 20), GREEN), Image.new("RGB", (20, 20), WHITE)]
    return encoded(Image.new("RGB", (20, 20), RED), format, save_all=True, append_images=others)


def png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    """A PNG in colour of `depth` bits, of packed data that may have nothing to do with its size."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def with_broken_data(data: bytes) -> bytes:
    middle = data.index(b"IDAT") + 12
    return data[:middle] + b"\x00" * 40 + data[middle + 40 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", image_decoding.EMPTY_FILE),
        (b"<html>404</html>", image_decoding.TEXT_FILE),
        (b"\x89PNG\r\n\x1a\n", image_decoding.BROKEN_HEADER),
        (JPEG[:30], image_decoding.BROKEN_HEADER),
        (encoded(Image.new("RGB", (8, 8)), "TIFF"), image_decoding.UNSUPPORTED_FORMAT),
        (encoded(Image.new("RGB", (101, 100)), "PNG"), image_decoding.TOO_MANY_PIXELS),
        (png(50_000, 50_000, zlib.compress(b"")), image_decoding.TOO_MANY_PIXELS),
        (frames("GIF"), image_decoding.ANIMATED),
        (frames("WEBP"), image_decoding.ANIMATED),
        (frames("PNG"), image_decoding.ANIMATED),
        (JPEG[: len(JPEG) // 2], image_decoding.TRUNCATED),
        (PNG[: len(PNG) // 2], image_decoding.TRUNCATED),
        (with_broken_data(PNG), image_decoding.CORRUPT),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as raised:
        decoded(data)
    assert raised.value.reason == reason
    assert reason in image_decoding.REASONS


def test_the_limit_itself_is_allowed() -> None:
    decoded(encoded(Image.new("RGB", (100, 100)), "PNG"), max_pixels=100 * 100)


def test_the_highest_limit_is_pillows_own() -> None:
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(png(MOST_PIXELS + 1, 1, b"")))
    with pytest.raises(ImageError, match="is more than 10000"):
        decoded(png(MOST_PIXELS, 1, b""))
    with pytest.raises(ValueError, match="less than or equal to"):
        VisionSettings(max_pixels=MOST_PIXELS + 1)
