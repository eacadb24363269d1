"""The contrastive objective: embeddings of products that were bought together are drawn together.

This module imports Keras, so it is itself imported only where a model with this layer is built or read.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("larder")
class PairedBatch(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """A layer that returns its input, and in training adds a contrastive loss: InfoNCE in both directions.

    In training, sample i of the second half of a batch is the partner of sample i of the first half. Each sample must
    be told from the partners of all others (van den Oord et al., arXiv 1807.03748).

    weight: of this loss beside the labels' loss. temperature: of its softmax.
    """

    def __init__(self, weight: float, temperature: float, **more: Any) -> None:
        super().__init__(**more)
        self.weight, self.temperature = weight, temperature

    def call(self, embeddings: Any, training: bool = False) -> Any:
        """Returns `embeddings` (batch, dimensions), which are unit vectors."""
        if training:
            half = ops.shape(embeddings)[0] // 2
            near = ops.matmul(embeddings[:half], ops.transpose(embeddings[half : 2 * half])) / self.temperature
            own = ops.arange(half)
            forth = keras.losses.sparse_categorical_crossentropy(own, near, from_logits=True)
            back = keras.losses.sparse_categorical_crossentropy(own, ops.transpose(near), from_logits=True)
            # The last batch may be one sample, without a pair.
            self.add_loss(self.weight * ops.sum(forth + back) / 2 / ops.cast(ops.maximum(half, 1), near.dtype))
        return embeddings

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "temperature": self.temperature}
