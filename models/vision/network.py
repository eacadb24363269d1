"""The vision model: pictures in, unit-length embeddings out, trained to name every level of the category path.

Keras is imported where it is used: the import takes seconds, and most of what imports this module needs only labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from larder.models.encoding.category_paths import path_prefixes
from larder.models.vision.backbones import Backbone

if TYPE_CHECKING:
    import keras

EMBEDDING_LAYER, LABELS_LAYER = "embedding", "labels"
FILTERS = (24, 48, 96, 128)
SHIFT = 0.08  # of the picture's side
CONTRAST = 0.3
# The product of a unit vector and a weight vector is small; this lets the sigmoids leave the middle.
SHARPNESS = 12.0
# A label that no training picture has would start at a logit of minus infinity.
RAREST = 1e-4
# Batches of one size give each picture the same embedding, whatever lies beside it.
INFERENCE_BATCH = 256
NO_PAIRS = (0.0, 1.0)
FOREVER = 1 << 40  # steps: a rate that falls so slowly is constant


@dataclass(frozen=True)
class NetworkHead:
    """What lies about the body: between its features and the embedding, and before it in training.

    palette: the picture's colours beside the body's features. hidden: units of a layer between these and the
    embedding, 0 for none. dropout: the share of features, and of that layer's, that a training step leaves out.
    augmented: whether training moves and relights the pictures that the body sees.
    """

    palette: bool = False
    hidden: int = 0
    dropout: float = 0.0
    augmented: bool = True


PLAIN = NetworkHead()


def label_list(products_of: Mapping[str | None, int], min_count: int) -> list[str]:
    """Every path prefix that at least `min_count` products have, sorted. `products_of` counts products by category.

    An ancestor has at least as many products as its descendants, so a label's ancestors are labels.
    """
    counts: Counter[str] = Counter()
    for category, products in products_of.items():
        for prefix in path_prefixes(category):
            counts[prefix] += products
    return sorted(prefix for prefix, count in counts.items() if count >= min_count)


def label_matrix(categories: Iterable[str | None], labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(products, labels) of 0 and 1: a product has the label of its category and of every ancestor of it."""
    column = {label: index for index, label in enumerate(labels)}
    known = [[column[prefix] for prefix in path_prefixes(c) if prefix in column] for c in categories]
    matrix = np.zeros((len(known), len(labels)), np.uint8)
    for row, columns in enumerate(known):
        matrix[row, columns] = 1
    return matrix


def label_shares(products_of: Mapping[str | None, int], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """The share of products that have each label, (labels,)."""
    categories = list(products_of)
    counts = np.array([products_of[c] for c in categories], np.float64)
    return np.asarray(counts @ label_matrix(categories, labels) / max(counts.sum(), 1), np.float32)


def build_model(
    image_size: int,
    embedding: int,
    shares: npt.NDArray[np.float32],
    seed: int,
    backbone: Backbone | None = None,
    pairs: tuple[float, float] = NO_PAIRS,
    head: NetworkHead = PLAIN,
) -> keras.Model:
    """A network from uint8 pictures (batch, image_size, image_size, 3) to the probability of each label.

    The body is a small network from scratch, or `backbone`. Weight and temperature of `pairs` are for training alone:
    a model for inference has the same weights without them.

    Below the head lies EMBEDDING_LAYER: `embedding` floats of length 1. Rescaling and augmentation are layers, so a
    saved model takes the images table's pixels as they are. `shares` (labels,) are where the probabilities begin.
    """
    import keras

    layers = keras.layers
    if backbone:
        keras.utils.clear_session()  # its layers are named by counters of the process, and so would the saved bytes be
    keras.utils.set_random_seed(seed)
    # Every layer has a name: Keras's own count up with each model of a process, and so would the saved bytes.
    pictures = keras.Input((image_size, image_size, 3), dtype="uint8", name="pixels")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="scaled")(pictures)
    shown = _augmented(scaled, seed) if head.augmented else scaled
    features = _features(backbone.applied(shown) if backbone else _small(shown), scaled, head, seed)
    body = layers.Dense(embedding, name="directions")(features)
    unit = layers.UnitNormalization(name=EMBEDDING_LAYER)(body)
    if pairs[0]:
        from larder.models.vision.contrastive import PairedBatch

        unit = PairedBatch(*pairs, name="paired")(unit)
    likely = np.clip(shares, RAREST, 1 - RAREST)
    named = layers.Dense(len(shares), activation="sigmoid", name=LABELS_LAYER)
    probabilities = named(layers.Rescaling(SHARPNESS, name="sharpened")(unit))
    named.set_weights([named.get_weights()[0], np.log(likely / (1 - likely))])
    return keras.Model(pictures, probabilities, name="vision")


def compile_model(model: keras.Model, learning_rate: float, falls_over: int = 0, rises_over: int = 0) -> None:
    """Makes the model ready to train. Its rate falls to 0 along a cosine over so many steps of a worker, after having
    risen over others; 0: it does not. For the demo's pictures a constant one served the embedding better.

    The rate follows from the optimizer's count of steps, so it goes on wherever that is set.
    """
    import keras

    rate: Any = learning_rate
    if falls_over or rises_over:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if rises_over else learning_rate,
            falls_over or FOREVER,
            warmup_target=learning_rate if rises_over else None,
            warmup_steps=rises_over,
        )
    model.compile(keras.optimizers.Adam(rate), loss="binary_crossentropy")


def embedding_part(model: keras.Model) -> keras.Model:
    """The model up to its embedding: pictures in, (batch, embedding) unit vectors out."""
    import keras

    return keras.Model(model.inputs, model.get_layer(EMBEDDING_LAYER).output)


def embed(part: keras.Model, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Embeddings (n, embedding) of length 1 of pictures (n, size, size, 3)."""
    found = [
        np.asarray(part.predict_on_batch(_padded(pictures[start : start + INFERENCE_BATCH])))
        for start in range(0, len(pictures), INFERENCE_BATCH)
    ]
    vectors = np.concatenate(found)[: len(pictures)]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _augmented(pictures: keras.KerasTensor, seed: int) -> keras.KerasTensor:
    """Active in training only: the shot a little off centre, the lamp brighter or dimmer."""
    from keras import layers

    moved = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest", seed=seed, name="moved")(pictures)
    return layers.RandomContrast(CONTRAST, value_range=(-1, 1), seed=seed, name="relit")(moved)


def _features(body: keras.KerasTensor, pictures: keras.KerasTensor, head: NetworkHead, seed: int) -> keras.KerasTensor:
    """Features (batch, any) of feature maps; a network from a file may have pooled its own."""
    from keras import layers

    parts = [body]
    if len(body.shape) > 2:
        pools = layers.GlobalAveragePooling2D(name="mean"), layers.GlobalMaxPooling2D(name="peak")
        parts = [pool(body) for pool in pools]
    if head.palette:
        from larder.models.vision.palette import Palette

        parts.append(Palette(name="palette")(pictures))
    features = layers.Concatenate(name="pooled")(parts) if len(parts) > 1 else body
    if head.dropout:
        features = layers.Dropout(head.dropout, seed=seed, name="thinned")(features)
    if head.hidden:
        features = layers.Dense(head.hidden, activation="relu", name="hidden")(features)
        if head.dropout:
            features = layers.Dropout(head.dropout, seed=seed, name="hidden_thinned")(features)
    return features


def _small(body: keras.KerasTensor) -> keras.KerasTensor:
    from keras import layers

    for depth, filters in enumerate(FILTERS):
        body = _convolved(body, filters, depth)
        if depth < len(FILTERS) - 1:
            body = layers.MaxPooling2D(name=f"halved_{depth}")(body)
    return body


def _convolved(pictures: keras.KerasTensor, filters: int, depth: int) -> keras.KerasTensor:
    """The first one strides: at full size it would cost more than all others together."""
    from keras import layers

    size, stride = (5, 2) if depth == 0 else (3, 1)
    convolution = layers.Conv2D(
        filters, size, strides=stride, padding="same", use_bias=False, name=f"convolved_{depth}"
    )
    normal = layers.BatchNormalization(momentum=0.9, name=f"normal_{depth}")
    return layers.ReLU(name=f"positive_{depth}")(normal(convolution(pictures)))


def _padded(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    missing = INFERENCE_BATCH - len(pictures)
    return np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else pictures
