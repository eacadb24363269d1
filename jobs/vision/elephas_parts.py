"""The parts of Elephas that the training is built on, or an error that says how to install them.

Elephas 7.3.0 works with newer packages than its metadata allows (PySpark up to 4.0.0, NumPy below 2, TensorFlow below
2.20, Python below 3.13, and exact versions of Flask, h5py and Cython). So it is not among the requirements of
larder[vision], which brings what it imports, but installed by itself, without its dependencies.
"""

from __future__ import annotations

import inspect
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from larder.jobs.runtime.quiet_tensorflow import tf  # before elephas: it silences TensorFlow's import

VERSION = "7.3.0"
INSTALL = f"pip install --no-deps --ignore-requires-python elephas=={VERSION}"
# What the training passes to the worker, and what it uses of the model.
OF_WORKER = (
    "json", "parameters", "train_config", "master_optimizer", "master_loss", "master_metrics", "custom_objects",
)  # fmt: skip
BESIDE = ("pyspark", "numpy", "h5py", "flask")


class ElephasError(ImportError):
    """Elephas is missing, lacks a package, or does not work with the installed ones; the message has the remedy."""


def elephas_parts() -> tuple[Any, Any, Any]:
    """Returns Elephas's SparkModel, SparkWorker and subtract_params. Raises ElephasError."""
    try:
        from elephas import spark_model, utils, worker
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "elephas":
            raise ElephasError(
                "Elephas, which trains the vision model, is not installed; it is no part of larder[vision], since its "
                f"metadata asks for older packages than it needs; run: {INSTALL}"
            ) from None
        raise ElephasError(
            f"Elephas needs the package {missing}, which is missing; run: pip install 'larder[vision]'"
        ) from None
    except (ImportError, AttributeError, TypeError) as error:
        raise ElephasError(_unusable(str(error))) from error
    return _checked(spark_model, worker, utils)


def _checked(spark_model: ModuleType, worker: ModuleType, utils: ModuleType) -> tuple[Any, Any, Any]:
    """The parts, once it is sure that they are those of VERSION. Raises ElephasError."""
    try:
        parts = spark_model.SparkModel, worker.SparkWorker, utils.subtract_params
        found = tuple(inspect.signature(parts[1].__init__).parameters)[1:]
    except (AttributeError, ValueError) as error:
        raise ElephasError(_unusable(str(error))) from error
    if found != OF_WORKER:
        raise ElephasError(_unusable(f"its SparkWorker takes {', '.join(found)}"))
    return parts


def _unusable(reason: str) -> str:
    others = ", ".join(f"{name} {_version(name)}" for name in BESIDE)
    return (
        f"Elephas {_version('elephas')} does not work with tensorflow {tf.__version__}, {others}: {reason}; "
        f"Larder was tested with {VERSION}: {INSTALL}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(none)"


if TYPE_CHECKING:
    from elephas.spark_model import SparkModel
    from elephas.utils import subtract_params
    from elephas.worker import SparkWorker
else:
    SparkModel, SparkWorker, subtract_params = elephas_parts()
