"""What bytes are that are not a picture we decode, by how they begin."""

from __future__ import annotations

import codecs

HEAD_BYTES = 512
UNICODE_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# ftyp: HEIC, AVIF and film; then TIFF, icons, Photoshop, JPEG XL, JPEG 2000, PDF, archives, film.
OTHERS = (
    b"II*\0", b"MM\0*", b"\0\0\1\0", b"8BPS", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"%PDF",
    b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"\x1aE\xdf\xa3",
)  # fmt: skip
OURS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
RIFF_HEAD = 8  # bytes before those that its length counts


def is_text(data: bytes) -> bool:
    """Whether it reads as text: an error page, or a line that says where the picture has gone."""
    head = data[:HEAD_BYTES]
    if head.startswith(UNICODE_MARKS):
        return True
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a letter
    except UnicodeDecodeError:
        return False
    return True


def is_other_format(data: bytes) -> bool:
    """Whether it is of a known format that is not decoded here: TIFF, HEIC, AVIF, SVG, PDF, film, archives and such."""
    head = data[:HEAD_BYTES]
    return head.startswith(OTHERS) or head[4:8] == b"ftyp" or (is_text(head) and b"<svg" in head.lower())


def is_our_format(data: bytes) -> bool:
    """Whether it begins as JPEG, PNG, WebP, GIF or BMP do."""
    return data.startswith(OURS) or _is_webp(data)


def is_cut_short(data: bytes) -> bool:
    """Whether it is a WebP that ends before its own header says; the other formats tell when they are decoded."""
    return _is_webp(data) and len(data) < RIFF_HEAD + int.from_bytes(data[4:8], "little")


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
