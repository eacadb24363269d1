"""Picture files of every kind of trouble, made with Pillow and by hand."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

MAX_BYTES, MAX_PIXELS, MIN_SIDE = 300_000, 1_000_000, 8
RED, GREEN = (200, 30, 40), (20, 160, 60)
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.effect_noise((side, side), 80).convert("RGB")


def plain(width: int = 40, height: int = 40, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), RED)


def moving(format: str) -> bytes:
    return encoded(plain(), format, save_all=True, append_images=[Image.new("RGB", (40, 40), GREEN), plain(40, 40)])


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, colour: int = 2) -> bytes:
    """A PNG with this header, whatever its data are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return PNG_HEAD + header + b"".join(chunks) + chunk(b"IEND", b"")


def bmff(brand: bytes) -> bytes:
    """The first box of HEIC, AVIF and MP4 files, and some bytes more."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200)


def scribbled(data: bytes, at: int) -> bytes:
    return data[:at] + b"\x00" * 40 + data[at + 40 :]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


WHITE_ROWS = zlib.compress(bytes(3_000 * 9_001))
JPEG, PNG, WEBP = (encoded(noise(), format) for format in ("JPEG", "PNG", "WEBP"))
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n'


class Kind(NamedTuple):
    """What is wrong with a file, how docs/images.md calls it, and the reason it must be set aside with."""

    what: str
    reason: str
    content: bytes | Callable[[Path], None] | None = None  # None: nothing is written
    name: str = ""  # what the catalogue names, if not the file


KINDS = (
    Kind("no file of that name", "missing_image"),
    Kind("a link that leads nowhere", "missing_image", lambda path: path.symlink_to("nowhere.jpg")),
    Kind("a folder", "not_a_file", Path.mkdir),
    Kind("a named pipe", "not_a_file", os.mkfifo),
    Kind("a name longer than a file can have", "unreadable_image", name=f"images/{'x' * 300}.jpg"),
    Kind("a name that cannot be", "unreadable_image", name="images/a\0b.jpg"),
    Kind("a scheme that nobody here reads", "unsupported_uri", name="gopher://shop/1.jpg"),
    Kind("a web address", "unsupported_uri", name="https://shop.example/1.jpg"),
    Kind("a file larger than `max_bytes`", "too_many_bytes", PNG + bytes(MAX_BYTES)),
    Kind("an empty file", "empty_file", b""),
    Kind("an error page", "text_file", b"<!doctype html>\n<title>404</title>\n<p>Not found: \xc3\xa9\n"),
    Kind("a text called .jpg", "text_file", b"BM: this picture is to come\n"),
    Kind("a text in UTF-16", "text_file", "Bild folgt".encode("utf-16")),
    Kind("SVG", "unsupported_format", SVG),
    Kind("TIFF", "unsupported_format", encoded(plain(), "TIFF")),
    Kind("HEIC, as phones write it", "unsupported_format", bmff(b"heic")),
    Kind("AVIF", "unsupported_format", bmff(b"avif")),
    Kind("film", "unsupported_format", bmff(b"isom")),
    Kind("PDF", "unsupported_format", b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n"),
    Kind("a packed picture", "unsupported_format", gzip.compress(JPEG, mtime=0)),
    Kind("bytes of no known format", "not_an_image", bytes(range(256)) * 4),
    Kind("nothing but zeros", "not_an_image", bytes(5000)),
    Kind("a signature and no more", "broken_header", PNG_HEAD),
    Kind("JPEG cut off in its header", "broken_header", JPEG[:30]),
    Kind("text in a PNG that unpacks without end", "broken_header",
         png(40, 40, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20_000_000))))),
    Kind("a bomb: 50,000 x 50,000 pixels in 100 bytes", "too_many_pixels", png(50_000, 50_000)),
    Kind("a bomb that unpacks", "too_many_pixels", png(3_000, 3_000, chunk(b"IDAT", WHITE_ROWS))),
    Kind("more pixels than `max_pixels`", "too_many_pixels", encoded(plain(1_001, 1_000), "JPEG")),
    Kind("a pixel to count visitors", "too_small", encoded(plain(1, 1), "GIF")),
    Kind("a line", "too_small", encoded(plain(400, 2), "PNG")),
    Kind("WebP with its header scribbled over", "broken_header", scribbled(WEBP, 24)),
    Kind("no width", "broken_header", png(0, 40)),
    Kind("a moving GIF", "animated", moving("GIF")),
    Kind("a moving WebP", "animated", moving("WEBP")),
    Kind("a moving PNG", "animated", moving("PNG")),
    Kind("JPEG cut off", "truncated", half(JPEG)),
    Kind("PNG cut off", "truncated", half(PNG)),
    Kind("WebP cut off", "truncated", half(WEBP)),
    Kind("BMP cut off", "truncated", half(encoded(noise(), "BMP"))),
    Kind("GIF cut off", "truncated", half(encoded(noise().quantize(64), "GIF"))),
    Kind("PNG with data scribbled over", "corrupt", scribbled(PNG, PNG.index(b"IDAT") + 12)),
    Kind("PNG without its palette", "corrupt", png(40, 40, chunk(b"IDAT", zlib.compress(bytes(40 * 41))), colour=3)),
    Kind("everything transparent", "nothing_visible", encoded(Image.new("RGBA", (40, 40), (*RED, 0)), "PNG")),
)  # fmt: skip


def write_kind(folder: Path, number: int) -> str:
    """Writes the file of KINDS[number] into `folder`/images; returns what a catalogue in `folder` calls it."""
    kind = KINDS[number]
    path = folder / "images" / f"bad{number}.jpg"
    if isinstance(kind.content, bytes):
        path.write_bytes(kind.content)
    elif kind.content is not None:
        kind.content(path)
    return kind.name or f"images/{path.name}"
