"""An ensemble of trained networks as one model: embeddings are concatenated, probabilities averaged."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from larder.models.vision.network import EMBEDDING_LAYER, LABELS_LAYER, SHARPNESS

if TYPE_CHECKING:
    import keras


def as_one(members: Sequence[keras.Model]) -> keras.Model:
    """Returns one model for inference from K models of `build_model`; a single member is returned itself.

    Its embedding (batch, K x embedding) concatenates the members' unit vectors and is scaled to length 1, so the cosine
    of two embeddings is the mean of the members' cosines. Its probabilities (batch, labels) are the mean of the
    members' (Lakshminarayanan, Pritzel and Blundell, arXiv 1612.01474).
    """
    if len(members) == 1:
        return members[0]
    import keras

    layers = keras.layers
    # Each member is a model inside the model: layers of different members have the same names.
    bodies = [
        keras.Model(member.inputs, member.get_layer(EMBEDDING_LAYER).output, name=f"member_{number}")
        for number, member in enumerate(members, 1)
    ]
    pictures = keras.Input(members[0].input_shape[1:], dtype="uint8", name="pixels")
    joined = layers.Concatenate(name="joined")([body(pictures) for body in bodies])
    unit = layers.UnitNormalization(name=EMBEDDING_LAYER)(joined)
    # Each member's part has length 1 / sqrt(K) now, and its head was trained on vectors of length 1.
    parts = layers.Reshape((len(members), -1), name="parts")(unit)
    sharpened = layers.Rescaling(SHARPNESS * sqrt(len(members)), name="sharpened")(parts)
    labels = members[0].output_shape[-1]
    heads = layers.EinsumDense(
        "bke,kel->bkl", (len(members), labels), activation="sigmoid", bias_axes="kl", name="heads"
    )
    probabilities = layers.GlobalAveragePooling1D(name=LABELS_LAYER)(heads(sharpened))
    weights = [member.get_layer(LABELS_LAYER).get_weights() for member in members]
    heads.set_weights([np.stack(of_all) for of_all in zip(*weights, strict=True)])
    return keras.Model(pictures, probabilities, name=members[0].name)
