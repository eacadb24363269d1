"""A known network as the body of the vision model: one of keras.applications, or any that Keras saved to a file."""

from __future__ import annotations

import tempfile
import zipfile
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
FILE = ".keras"


class UnknownBackboneError(ValueError):
    """keras.applications has no network of this name."""


class UnusableBackboneError(ValueError):
    """A file's network cannot be read, or takes or gives something else than a body of the model does."""


def is_file(name: str) -> bool:
    """Whether this names a file that Keras saved, and no network of keras.applications."""
    return name.endswith(FILE)


@dataclass(frozen=True)
class Backbone:
    """A network by its name in keras.applications, or by that of a .keras file.

    The weights of a known one are random, or of `weights`, the bytes of a file that Keras reads whose name ends like
    `weights_name` (.weights.h5, .h5, .keras), or Keras's own download. Of a .keras file `weights` are the bytes; its
    network takes values from 0 to 255, its own layers prepare them. A frozen one is not trained.
    """

    name: str
    weights: bytes | None = None
    weights_name: str = ""
    download: bool = False
    frozen: bool = False

    def applied(self, pictures: keras.KerasTensor) -> keras.KerasTensor:
        """Feature maps of pictures (batch, side, side, 3) whose values are from -1 to 1, or features (batch, any) where
        a file's network gives such. Raises UnknownBackboneError and UnusableBackboneError."""
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

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"backbone{FILE}"
            path.write_bytes(self.weights or b"")
            try:
                found = keras.models.load_model(path, compile=False)
                # Anew, without what it was compiled with, and by a name that no layer of ours has.
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
    """Keras's go on with all it knows."""
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
    families = [family for family in WANTED if name.startswith(family)]
    return WANTED[max(families, key=len)] if families else otherwise
