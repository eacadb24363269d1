"""A colour histogram of the picture, as features beside those of a network.

This module imports Keras, so it is itself imported only where a model with this layer is built or read.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

STEPS = 8  # bins of each colour channel: 512 in all
SPREAD = 4.0  # scales the features to about the range of a network's pooled features


@keras.saving.register_keras_serializable("larder")
class Palette(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """A layer that returns the colour histogram: square roots of the shares of pixels in 512 bins, times SPREAD.

    Square roots, since most shares are tiny.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA, which Keras turns on where there is a GPU, does not compile bincount

    def call(self, pictures: Any) -> Any:
        """Returns (batch, 512) for pictures (batch, height, width, 3) with values from -1 to 1."""
        steps = ops.cast(ops.clip((pictures + 1) * (STEPS / 2), 0, STEPS - 1), "int32")
        colours = (steps[..., 0] * STEPS + steps[..., 1]) * STEPS + steps[..., 2]
        pixels = pictures.shape[1] * pictures.shape[2]
        counts = ops.bincount(ops.reshape(colours, (-1, pixels)), minlength=STEPS**3)
        return SPREAD * ops.sqrt(ops.cast(counts, "float32") / pixels)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        return (input_shape[0], STEPS**3)
