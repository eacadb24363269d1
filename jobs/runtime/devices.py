"""The GPUs that Spark assigned to a task. TensorFlow reads their list once, when it is imported."""

from __future__ import annotations

import os
import sys

from pyspark import TaskContext

RESOURCE = "gpu"
VISIBLE = "CUDA_VISIBLE_DEVICES"


class OtherDevicesError(RuntimeError):
    """This process started with other GPUs than Spark now assigns to its task."""


def own_devices() -> tuple[str, ...]:
    """Returns the addresses of this task's GPUs, none outside a task or if the settings ask for none."""
    context = TaskContext.get()
    assigned = context.resources().get(RESOURCE) if context else None
    return tuple(assigned.addresses) if assigned else ()


def seen_devices() -> tuple[str, ...]:
    """Returns the GPUs that this process can use, none if Spark assigned none."""
    return tuple(os.environ.get(VISIBLE, "").split(",")) if own_devices() else ()


def see_only_own_devices() -> None:
    """Hides all GPUs but the task's own; changes nothing if Spark assigned none. Raises OtherDevicesError."""
    devices = ",".join(own_devices())
    if not devices or os.environ.get(VISIBLE) == devices:
        return
    if "tensorflow" in sys.modules:
        raise OtherDevicesError(
            f"Spark assigned GPU {devices} to this task, but its process began with {os.environ.get(VISIBLE)!r}: an"
            " executor must have one GPU (spark.executor.resource.gpu.amount=1), or spark.python.worker.reuse=false"
        )
    os.environ[VISIBLE] = devices
