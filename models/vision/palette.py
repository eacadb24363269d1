"""The colours of a picture, whatever it shows and wherever they lie, as features beside those of a network.

Imports Keras, so it is imported only where a model is built or read that has it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

STEPS = 8  # of each of three colours: 512 bins
SPREAD = 4.0  # about as far from 0 as a network's pooled features lie


@keras.saving.register_keras_serializable("larder")
class Palette(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """Roots of the shares of pixels that have each of 8 x 8 x 8 colours, times SPREAD: shares are mostly tiny."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA, which Keras would turn on where there is a GPU, cannot count so

    def call(self, pictures: Any) -> Any:
        """(batch, 512) of pictures (batch, height, width, 3) from -1 to 1."""
        steps = ops.cast(ops.clip((pictures + 1) * (STEPS / 2), 0, STEPS - 1), "int32")
        colours = (steps[..., 0] * STEPS + steps[..., 1]) * STEPS + steps[..., 2]
        pixels = pictures.shape[1] * pictures.shape[2]
        counts = ops.bincount(ops.reshape(colours, (-1, pixels)), minlength=STEPS**3)
        return SPREAD * ops.sqrt(ops.cast(counts, "float32") / pixels)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        return (input_shape[0], STEPS**3)
