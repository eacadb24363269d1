"""Imports TensorFlow quietly: its CUDA libraries write to standard error before any log level applies.

In a task it sees only the GPUs that Spark assigned, and takes their memory as it needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from larder.jobs.runtime.devices import see_only_own_devices
from larder.models.vision.mixed_precision import FULL

STANDARD_ERROR = 2
AUTOMATIC, HALF = "auto", "mixed_bfloat16"
# NVIDIA's compute capability from which bfloat16 is native. It has float32's range, so no loss has to be scaled.
BFLOAT16_SINCE = (8, 0)


@contextmanager
def _muted() -> Iterator[None]:
    kept = os.dup(STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
        os.close(nowhere)


see_only_own_devices()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _muted():
    import tensorflow as tf


def limit_threads(threads: int) -> None:
    """Limits TensorFlow to its task's share of the cores; has no effect after TensorFlow has started."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in _gpus():
            tf.config.experimental.set_memory_growth(device, True)
    except RuntimeError:  # an earlier task of this process has started it
        return


def training_precision(wanted: str) -> str:
    """Returns the precision to train in: `wanted`, or for `auto` bfloat16 if this process's GPUs have it."""
    if wanted != AUTOMATIC:
        return wanted
    able = [tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0)) for device in _gpus()]
    return HALF if able and min(able) >= BFLOAT16_SINCE else FULL


def _gpus() -> list[tf.config.PhysicalDevice]:
    with _muted():
        return list(tf.config.list_physical_devices("GPU"))
