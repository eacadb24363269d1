"""Tells by the first bytes of a file that cannot be decoded what kind of file it is."""

from __future__ import annotations

import codecs

HEAD_BYTES = 512
UNICODE_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# TIFF, icons, Photoshop, JPEG XL, JPEG 2000, PDF, archives, Matroska. HEIC, AVIF and MP4 have `ftyp` at byte 4.
OTHERS = (
    b"II*\0", b"MM\0*", b"\0\0\1\0", b"8BPS", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"%PDF",
    b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"\x1aE\xdf\xa3",
)  # fmt: skip
OURS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
RIFF_HEAD = 8  # bytes in front of those that the length in the header counts


def is_text(data: bytes) -> bool:
    """Returns whether the file is text, such as an HTML error page in place of a picture."""
    head = data[:HEAD_BYTES]
    if head.startswith(UNICODE_MARKS):
        return True
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the head may end inside a character
    except UnicodeDecodeError:
        return False
    return True


def is_other_format(data: bytes) -> bool:
    """Returns whether the file has a known format that is not decoded: TIFF, HEIC, AVIF, SVG, PDF, videos, archives."""
    head = data[:HEAD_BYTES]
    return head.startswith(OTHERS) or head[4:8] == b"ftyp" or (is_text(head) and b"<svg" in head.lower())


def is_our_format(data: bytes) -> bool:
    """Returns whether the file begins like a JPEG, PNG, WebP, GIF or BMP."""
    return data.startswith(OURS) or _is_webp(data)


def is_cut_short(data: bytes) -> bool:
    """Returns whether the file is a WebP shorter than its header says; other formats show that when decoded."""
    return _is_webp(data) and len(data) < RIFF_HEAD + int.from_bytes(data[4:8], "little")


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
