"""Files that Keras saves, and which version of Keras may read them."""

from __future__ import annotations

import io
import json
import re
import zipfile

METADATA, DESCRIPTION = "metadata.json", "config.json"


class NewerKerasError(ValueError):
    """A .keras file was saved by a newer Keras than the installed one, which may not know all that is in it."""


def check_keras_version(data: bytes, name: str) -> None:
    """Raises NewerKerasError if the .keras file `data`, called `name` in messages, was saved by a newer Keras.

    Keras reads files of older versions, but not of newer ones: these fail with errors about unknown arguments of
    layers, or load and compute something else. A file without a version passes: reading it tells what it is.
    """
    import keras

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            saved_by = json.loads(archive.read(METADATA))["keras_version"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError):
        return
    if _release(saved_by) > _release(keras.__version__):
        raise NewerKerasError(
            f"{name} was saved by Keras {saved_by}, and Keras {keras.__version__} is installed here: a .keras file is "
            f"read by the same or a newer version only; run pip install 'keras>={saved_by}', or save the file anew"
        )


def _release(version: str) -> tuple[int, int]:
    """Major and minor version: patch releases read each other's files."""
    major, minor, *_ = *(int(number) for number in re.findall(r"\d+", str(version))), 0, 0
    return major, minor
