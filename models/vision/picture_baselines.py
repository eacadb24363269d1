"""Untrained picture vectors, the baselines of an embedding. All are unit vectors, compared by cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from larder.models.search.exact import unit_length

Vectors = npt.NDArray[np.float32]
STEPS = 8  # bins of each colour channel: 512 in all
CHANNELS = 3


def pixel_vectors(pixels: Sequence[bytes]) -> Vectors:
    """Returns the pixels of n pictures as vectors (n, height x width x 3).

    Each is centred on its own mean, so that a cosine is a correlation and does not just compare brightness.
    """
    flat = np.stack([np.frombuffer(picture, np.uint8) for picture in pixels]).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return unit_length(flat)


def histogram_vectors(pixels: Sequence[bytes]) -> Vectors:
    """Returns colour histograms (n, 512): 8 bins of each channel.

    Entries are square roots of the shares of pixels, so that the cosine of two is their Bhattacharyya coefficient
    (Comaniciu et al. 2000).
    """
    found = np.zeros((len(pixels), STEPS**CHANNELS), np.float32)
    for row, picture in enumerate(pixels):
        red, green, blue = (np.frombuffer(picture, np.uint8).reshape(-1, CHANNELS) // (256 // STEPS)).T.astype(np.int64)
        found[row] = np.bincount((red * STEPS + green) * STEPS + blue, minlength=STEPS**CHANNELS)
    return unit_length(np.sqrt(found))


def projected_vectors(pixels: Sequence[bytes], floats: int, seed: int) -> Vectors:
    """Returns a random projection of the centred pixels to (n, floats) (Bingham and Mannila 2001)."""
    whole = pixel_vectors(pixels)
    matrix = np.random.default_rng(seed).standard_normal((whole.shape[1], floats), np.float32)
    return unit_length(whole @ matrix)
