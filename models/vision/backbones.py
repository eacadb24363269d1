"""The backbone of the vision model: a network of keras.applications, or one that Keras saved to a file."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from larder.models.vision.keras_files import check_keras_version

if TYPE_CHECKING:
    import keras

# The pixel values that each family of networks takes, by its `preprocess_input`. The longest prefix of a name counts.
SYMMETRIC, BYTES, STANDARD, BLUE_FIRST = "-1 to 1", "0 to 255", "by ImageNet's mean and deviation", "BGR, less the mean"
PREPROCESSING = {
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
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, as values from 0 to 1
BLUE_FIRST_MEAN = (103.939, 116.779, 123.68)  # of ImageNet's channels B, G and R, as values from 0 to 255
FILE = ".keras"


class UnknownBackboneError(ValueError):
    """keras.applications has no network of this name."""


class UnusableBackboneError(ValueError):
    """A file's network cannot be read, or its input or output does not fit the vision model."""


def is_file(name: str) -> bool:
    """Returns whether a backbone's name is that of a .keras file rather than of a network of keras.applications."""
    return name.endswith(FILE)


@dataclass(frozen=True)
class Backbone:
    """The name of a network, and where its weights come from.

    name: a network of keras.applications, or a .keras file.
    weights: for a .keras file, its bytes; its network takes pixel values from 0 to 255. For a network of
        keras.applications, the bytes of a weights file, or None for random weights.
    weights_name: the name of the weights file, by whose ending (.weights.h5, .h5, .keras) Keras knows its format.
    download: whether Keras downloads ImageNet weights.
    frozen: whether training leaves the network's weights as they are.
    """

    name: str
    weights: bytes | None = None
    weights_name: str = ""
    download: bool = False
    frozen: bool = False

    def applied(self, pictures: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the network's output for pictures (batch, side, side, 3) with values from -1 to 1.

        That is feature maps (batch, height, width, channels), or features (batch, channels) where the network of a file
        pools them itself. Raises UnknownBackboneError, UnusableBackboneError and NewerKerasError.
        """
        import keras

        if is_file(self.name):
            network, wanted = self._saved(), BYTES
        else:
            network, wanted = self._known(int(pictures.shape[1])), _wanted(self.name)
        network.trainable = not self.frozen
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
        return self._checked(network, body) if is_file(self.name) else network(body)

    def _known(self, size: int) -> keras.Model:
        weights = "imagenet" if self.download else None
        network = _maker(self.name)(include_top=False, weights=weights, input_shape=(size, size, 3))
        if self.weights is not None:
            self._load(network, self.weights)
        return network

    def _saved(self) -> keras.Model:
        import keras

        check_keras_version(self.weights or b"", f"vision.backbone {self.name}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"backbone{FILE}"
            path.write_bytes(self.weights or b"")
            try:
                found = keras.models.load_model(path, compile=False)
                # Built anew: without what it was compiled with, and under a name that no other layer has.
                return keras.Model(found.input, found.output, name="backbone")
            except (AttributeError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
                raise UnusableBackboneError(
                    f"vision.backbone {self.name} cannot be read ({_first_line(error)}); it must be a network of "
                    "Keras's own layers, saved by model.save"
                ) from error

    def _checked(self, network: keras.Model, body: keras.KerasTensor) -> keras.KerasTensor:
        given = f"pictures of {body.shape[1]} x {body.shape[2]} pixels (vision.image_size)"
        try:
            found = network(body)
        except ValueError as error:
            raise UnusableBackboneError(
                f"vision.backbone {self.name} does not take {given}: {_first_line(error)}"
            ) from error
        if isinstance(found, (list, dict)) or len(found.shape) not in (2, 4):
            raise UnusableBackboneError(
                f"vision.backbone {self.name} must give one output of shape (batch, height, width, channels) or "
                f"(batch, features); of {given} it makes {network.output_shape}"
            )
        return found

    def _load(self, network: keras.Model, weights: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(self.weights_name).name
            path.write_bytes(weights)
            network.load_weights(path)


def _first_line(error: Exception) -> str:
    """The first line of an error: those of Keras go on with a dump of its state."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _maker(name: str) -> type[keras.Model]:
    import keras

    made = getattr(keras.applications, name, None)
    if made is None or not callable(made) or _wanted(name, "") == "":
        known = sorted(each for each in dir(keras.applications) if each[0].isupper())
        raise UnknownBackboneError(
            f"vision.backbone is {name!r}; it must be small, a {FILE} file or one of {', '.join(known)}"
        )
    return made


def _wanted(name: str, otherwise: str = BYTES) -> str:
    families = [family for family in PREPROCESSING if name.startswith(family)]
    return PREPROCESSING[max(families, key=len)] if families else otherwise
