"""The vision model: maps pictures to unit-length embeddings, and is trained to predict all levels of the category.

Keras is imported inside functions: that takes seconds, and most users of this module only need its labels.
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
SHIFT = 0.08  # of augmentation, as a share of the picture's side
CONTRAST = 0.3
# Scales the unit vector in front of the sigmoids, whose inputs would otherwise stay close to 0.
SHARPNESS = 12.0
# Least share of a label: one that no training picture has would start at a logit of minus infinity.
RAREST = 1e-4
# All batches have one size, so that the embedding of a picture does not depend on those beside it.
INFERENCE_BATCH = 256
NO_PAIRS = (0.0, 1.0)
FOREVER = 1 << 40  # steps: a learning rate that decays over these is constant


@dataclass(frozen=True)
class NetworkHead:
    """The layers between backbone and embedding, and augmentation.

    palette: whether a colour histogram stands beside the backbone's features.
    hidden: units of a layer between features and embedding, 0 for none.
    dropout: the share of the features, and of the hidden layer's outputs, that a training step leaves out.
    augmented: whether training shifts pictures and changes their contrast.
    """

    palette: bool = False
    hidden: int = 0
    dropout: float = 0.0
    augmented: bool = True


PLAIN = NetworkHead()


def label_list(products_of: Mapping[str | None, int], min_count: int) -> list[str]:
    """Returns every prefix of a category path that at least `min_count` products have, sorted.

    `products_of` counts products by category path. An ancestor has at least as many products as its descendants, so
    the ancestors of a label are labels.
    """
    counts: Counter[str] = Counter()
    for category, products in products_of.items():
        for prefix in path_prefixes(category):
            counts[prefix] += products
    return sorted(prefix for prefix, count in counts.items() if count >= min_count)


def label_matrix(categories: Iterable[str | None], labels: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Returns (products, labels) of 0 and 1: a product has the labels of its category and of all its ancestors."""
    column = {label: index for index, label in enumerate(labels)}
    known = [[column[prefix] for prefix in path_prefixes(c) if prefix in column] for c in categories]
    matrix = np.zeros((len(known), len(labels)), np.uint8)
    for row, columns in enumerate(known):
        matrix[row, columns] = 1
    return matrix


def label_shares(products_of: Mapping[str | None, int], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Returns the share of products that have each label, (labels,)."""
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
    """Returns an untrained network from uint8 pictures (batch, image_size, image_size, 3) to label probabilities.

    The layer EMBEDDING_LAYER gives unit vectors of `embedding` floats. Rescaling and augmentation are layers, so a
    saved model takes the pixels of the images table unchanged.

    shares: of products with each label (labels,), the initial probabilities.
    backbone: None for a small convolutional network.
    pairs: weight and temperature of the contrastive objective, for training only: a model for inference has the same
        weights and is built without.
    """
    import keras

    layers = keras.layers
    if backbone:
        keras.utils.clear_session()  # resets the counters in its layers' names, which would be in the saved bytes
    keras.utils.set_random_seed(seed)
    # Every layer is named: Keras's own names count up with each model of a process, and are in the saved bytes.
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
    """Compiles the model with Adam and a learning rate schedule.

    rises_over: steps of a worker in which the rate rises from 0, 0 for no warm-up.
    falls_over: steps in which it then falls to 0 along a cosine, 0 for a constant rate.

    The rate is a function of the optimizer's step count, so it continues where that is restored.
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
    """Returns the model up to its embedding: from pictures to unit vectors (batch, embedding)."""
    import keras

    return keras.Model(model.inputs, model.get_layer(EMBEDDING_LAYER).output)


def embed(part: keras.Model, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns embeddings (n, embedding), unit vectors, of pictures (n, size, size, 3)."""
    found = [
        np.asarray(part.predict_on_batch(_padded(pictures[start : start + INFERENCE_BATCH])))
        for start in range(0, len(pictures), INFERENCE_BATCH)
    ]
    vectors = np.concatenate(found)[: len(pictures)]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _augmented(pictures: keras.KerasTensor, seed: int) -> keras.KerasTensor:
    """Augmentation, active in training only: small shifts and changes of contrast."""
    from keras import layers

    moved = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest", seed=seed, name="moved")(pictures)
    return layers.RandomContrast(CONTRAST, value_range=(-1, 1), seed=seed, name="relit")(moved)


def _features(body: keras.KerasTensor, pictures: keras.KerasTensor, head: NetworkHead, seed: int) -> keras.KerasTensor:
    """Features (batch, any) of feature maps, or of features that a network from a file has pooled itself."""
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
    """The first convolution has stride 2: at full size it would cost more than all others together."""
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
