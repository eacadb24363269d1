"""Embeds pictures in Spark tasks: the vision model is loaded once a process, then applied batch by batch.

A module of its own, so that tasks import it: the loaded model then stays in the process from one task to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark import Broadcast, TaskContext

from larder.jobs.vision.saved_models import model_of
from larder.models import columns as C
from larder.models.vision.embeddings import packed
from larder.models.vision.network import INFERENCE_BATCH, embed, embedding_part

if TYPE_CHECKING:
    import keras

EMBEDDED = pa.schema([(C.PRODUCT_ID, pa.string()), (C.EMBEDDING, pa.binary())])
EMBEDDED_DDL = "product_id string, embedding binary"
CHANNELS = 3


class Embedder:
    """Maps Arrow batches of product ids and pixels to EMBEDDED. `model` is the bytes of a .keras file."""

    def __init__(self, model: Broadcast[bytes], image_size: int) -> None:
        self.model, self.shape = model, (image_size, image_size, CHANNELS)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from larder.jobs.runtime.quiet_tensorflow import limit_threads

        context = TaskContext.get()
        limit_threads(context.cpus() if context else 1)
        part: keras.Model | None = None
        for batch in batches:
            part = part or loaded(self.model.value)
            for start in range(0, batch.num_rows, INFERENCE_BATCH):
                yield self._embed(part, batch.slice(start, INFERENCE_BATCH))

    def _embed(self, part: keras.Model, rows: pa.RecordBatch) -> pa.RecordBatch:
        pixels = [np.frombuffer(value.as_buffer(), np.uint8).reshape(self.shape) for value in rows.column(1)]
        vectors = packed(embed(part, np.stack(pixels)))
        return pa.record_batch([rows.column(0), vectors], schema=EMBEDDED)


_LOADED: dict[str, keras.Model] = {}


def loaded(model: bytes) -> keras.Model:
    """Returns the model up to its embedding, loaded once a process."""
    key = hashlib.sha256(model).hexdigest()
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = embedding_part(model_of(model))
    return _LOADED[key]
