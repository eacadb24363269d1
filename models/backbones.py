"""Known networks of keras.applications as the body of the vision model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

# How each family wants its pixels, by the beginning of its name, longest first; from its own `preprocess_input`.
SYMMETRIC, BYTES, STANDARD, BLUE_FIRST = "-1 to 1", "0 to 255", "by ImageNet's mean and deviation", "BGR, less the mean"
WANTED = {
    "ConvNeXt": BYTES,
    "DenseNet": STANDARD,
    "EfficientNet": BYTES,
    "Inception": SYMMETRIC,
    "MobileNet": SYMMETRIC,
    "MobileNetV3": BYTES,
    "NASNet": SYMMETRIC,
    "ResNet": BLUE_FIRST,
    "ResNet50V2": SYMMETRIC,
    "ResNet101V2": SYMMETRIC,
    "ResNet152V2": SYMMETRIC,
    "VGG": BLUE_FIRST,
    "Xception": SYMMETRIC,
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, 0 to 1
BLUE_FIRST_MEAN = (103.939, 116.779, 123.68)  # likewise, 0 to 255


class UnknownBackboneError(ValueError):
    """keras.applications has no network of this name."""


@dataclass(frozen=True)
class Backbone:
    """A network by its name in keras.applications.

    Its weights are random, or of `weights`, the bytes of a file that Keras reads whose name ends like `weights_name`
    (.weights.h5, .h5, .keras), or Keras's own download. A frozen one is not trained.
    """

    name: str
    weights: bytes | None = None
    weights_name: str = ""
    download: bool = False
    frozen: bool = False

    def applied(self, pictures: keras.KerasTensor) -> keras.KerasTensor:
        """Feature maps of pictures whose values are from -1 to 1. Raises UnknownBackboneError."""
        import keras

        size = int(pictures.shape[1])
        network = _maker(self.name)(
            include_top=False, weights="imagenet" if self.download else None, input_shape=(size, size, 3)
        )
        if self.weights is not None:
            self._load(network, self.weights)
        network.trainable = not self.frozen
        wanted = _wanted(self.name)
        layers, body = keras.layers, pictures
        if wanted in (BYTES, BLUE_FIRST):
            body = layers.Rescaling(127.5, offset=127.5, name="bytes")(body)
        if wanted == BLUE_FIRST:
            body = keras.ops.flip(body, axis=-1)
            body = layers.Normalization(mean=BLUE_FIRST_MEAN, variance=(1.0, 1.0, 1.0), name="standard")(body)
        if wanted == STANDARD:
            body = layers.Rescaling(0.5, offset=0.5, name="shares")(body)
            variance = [deviation**2 for deviation in DEVIATION]
            body = layers.Normalization(mean=MEAN, variance=variance, name="standard")(body)
        return network(body)

    def _load(self, network: keras.Model, weights: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(self.weights_name).name
            path.write_bytes(weights)
            network.load_weights(path)


def _maker(name: str) -> type[keras.Model]:
    import keras

    made = getattr(keras.applications, name, None)
    if made is None or not callable(made) or _wanted(name, "") == "":
        known = sorted(each for each in dir(keras.applications) if each[0].isupper())
        raise UnknownBackboneError(f"vision.backbone is {name!r}; it must be small or one of {', '.join(known)}")
    return made


def _wanted(name: str, otherwise: str = BYTES) -> str:
    families = [family for family in WANTED if name.startswith(family)]
    return WANTED[max(families, key=len)] if families else otherwise
