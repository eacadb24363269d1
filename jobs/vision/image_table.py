"""The table `images`: whether its pictures have the size that a reader needs."""

from __future__ import annotations

from larder.storage import Manifest

REMEDY = "run `larder ingest-images`, or set it back"


class OtherSizeError(ValueError):
    """The pictures were ingested at another size than their reader takes."""


def check_size(images: Manifest, size: int, whose: str = "vision.image_size", remedy: str = REMEDY) -> None:
    """Raises OtherSizeError if the pictures of a run of `images` do not have `size` pixels a side."""
    found = images.parameters["image_size"]
    if found != size:
        raise OtherSizeError(f"{whose} is {size}, and the pictures that were ingested have {found} a side; {remedy}")
