"""Pictures as vectors without any training: what an embedding must beat. All of length 1, compared by cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from larder.models.search.exact import unit_length

Vectors = npt.NDArray[np.float32]
STEPS = 8  # of each of three colours: 512 bins
CHANNELS = 3


def pixel_vectors(pixels: Sequence[bytes]) -> Vectors:
    """The images table's pixels as vectors (n, height x width x 3).

    Each is centred on its own mean, so that the cosine is a correlation and does not just see how bright a shot is.
    """
    flat = np.stack([np.frombuffer(picture, np.uint8) for picture in pixels]).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return unit_length(flat)


def histogram_vectors(pixels: Sequence[bytes]) -> Vectors:
    """Colour histograms (n, 512): how many pixels have each of 8 x 8 x 8 colours, wherever they lie.

    Roots of shares, so that the cosine is the Bhattacharyya coefficient of two histograms (Comaniciu et al. 2000).
    """
    found = np.zeros((len(pixels), STEPS**CHANNELS), np.float32)
    for row, picture in enumerate(pixels):
        red, green, blue = (np.frombuffer(picture, np.uint8).reshape(-1, CHANNELS) // (256 // STEPS)).T.astype(np.int64)
        found[row] = np.bincount((red * STEPS + green) * STEPS + blue, minlength=STEPS**CHANNELS)
    return unit_length(np.sqrt(found))


def projected_vectors(pixels: Sequence[bytes], floats: int, seed: int) -> Vectors:
    """Centred pixels, projected at random to (n, floats): as short as an embedding (Bingham and Mannila 2001)."""
    whole = pixel_vectors(pixels)
    matrix = np.random.default_rng(seed).standard_normal((whole.shape[1], floats), np.float32)
    return unit_length(whole @ matrix)
