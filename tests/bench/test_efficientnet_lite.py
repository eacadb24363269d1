"""Reading a network's weights in PyTorch's format, and the network that they make."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from bench.efficientnet_lite import TORCH_MAGIC, TORCH_PROTOCOL, UnreadableWeightsError, network, tensors

GLOBAL, EMPTY, MARK, TUPLE, REDUCE, STOP = b"c", b"}", b"(", b"t", b"R", b"."
PROTOCOL, FALSE, NONE, BY_ID, SET = b"\x80\x02", b"\x89", b"N", b"Q", b"s"


def plain(value: object) -> bytes:
    """A number, a text or a tuple of numbers inside a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def written(arrays: Mapping[str, np.ndarray], call: bytes = b"ctorch._utils\n_rebuild_tensor_v2\n") -> bytes:
    """A file as torch.save wrote it before PyTorch 1.6."""
    heads = [pickle.dumps(each, 2) for each in (TORCH_MAGIC, TORCH_PROTOCOL, {})]
    body = PROTOCOL + EMPTY
    for key, (name, array) in enumerate(arrays.items()):
        storage = MARK + plain("storage") + b"ctorch\nFloatStorage\n" + plain(str(key)) + plain("cpu")
        storage += plain(array.size) + NONE + TUPLE + BY_ID
        strides = tuple(stride // array.itemsize for stride in array.strides)
        view = plain(0) + plain(array.shape) + plain(strides) + FALSE + NONE
        body += plain(name) + call + MARK + storage + view + TUPLE + REDUCE + SET
    keys = pickle.dumps([str(key) for key in range(len(arrays))], 2)
    numbers = [array.size.to_bytes(8, "little") + array.tobytes(order="A") for array in arrays.values()]
    return b"".join([*heads, body + STOP, keys, *numbers])


def test_tensors_come_back_as_they_lay() -> None:
    plainly = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {"plain": plainly, "turned": np.asfortranarray(plainly), "none": np.zeros((0,), np.float32)}
    found = tensors(written(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_pickle_that_names_anything_else_is_refused() -> None:
    with pytest.raises(UnreadableWeightsError, match=r"posix\.system"):
        tensors(written({"a": np.zeros(1, np.float32)}, b"cposix\nsystem\n"))
    with pytest.raises(UnreadableWeightsError, match="torch"):
        tensors(pickle.dumps(1) + pickle.dumps(2))


@pytest.mark.end_to_end
def test_blocks_follow_from_the_weights() -> None:
    """Two blocks of one width are a stage: the first strides, the second adds its input."""
    draw = np.random.default_rng(0)
    shapes = {"_conv_stem": (4, 3, 3, 3), "_conv_head": (16, 8, 1, 1)}
    normals = {"_bn0": 4, "_bn1": 16}
    for number, (before, wide, after) in enumerate([(4, 4, 6), (6, 12, 8), (8, 16, 8)]):
        block = f"_blocks.{number}."
        if number:
            shapes[f"{block}_expand_conv"] = (wide, before, 1, 1)
            normals[f"{block}_bn0"] = wide
        shapes |= {f"{block}_depthwise_conv": (wide, 1, 3, 3), f"{block}_project_conv": (after, wide, 1, 1)}
        normals |= {f"{block}_bn1": wide, f"{block}_bn2": after}
    weights = {f"{name}.weight": draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, width in normals.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{name}.{part}"] = draw.uniform(0.5, 1, width).astype(np.float32)
    made = network(weights)
    assert [layer.name for layer in made.layers if layer.name.startswith("added")] == ["added_2"]
    pixels = draw.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    assert made.predict(pixels, verbose=0).shape == (2, 8, 8, 16)  # the stem strides, and the second stage
    convolved = made.get_layer("conv_stem").get_weights()[0]
    np.testing.assert_array_equal(convolved[1, 2, 0], weights["_conv_stem.weight"][:, 0, 1, 2])
