"""The second objective: pictures of products that were bought together come to lie near each other.

Imports Keras, so it is imported only where a model is built or read that has it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("larder")
class PairedBatch(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """Passes embeddings on. In training, the second half of a batch are partners of the first, in its order, and each
    must be told from the others' partners: InfoNCE in both directions (arXiv 1807.03748), added to the loss.
    """

    def __init__(self, weight: float, temperature: float, **more: Any) -> None:
        super().__init__(**more)
        self.weight, self.temperature = weight, temperature

    def call(self, embeddings: Any, training: bool = False) -> Any:
        """`embeddings` (batch, dimensions) of length 1."""
        if training:
            half = ops.shape(embeddings)[0] // 2
            near = ops.matmul(embeddings[:half], ops.transpose(embeddings[half : 2 * half])) / self.temperature
            own = ops.arange(half)
            forth = keras.losses.sparse_categorical_crossentropy(own, near, from_logits=True)
            back = keras.losses.sparse_categorical_crossentropy(own, ops.transpose(near), from_logits=True)
            # A last batch of one picture has no pair.
            self.add_loss(self.weight * ops.sum(forth + back) / 2 / ops.cast(ops.maximum(half, 1), near.dtype))
        return embeddings

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "temperature": self.temperature}
