"""Precision of picture embeddings on pictures that training never saw, beside baselines without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from larder.jobs.evaluation.picture_page import picture_page
from larder.jobs.vision.picture_files import CHANNELS
from larder.models import columns as C
from larder.models.arrow_frames import to_arrow
from larder.models.evaluation.retrieval_metrics import leaf_precision_at_k
from larder.models.tables import EMBEDDINGS, IMAGES
from larder.models.vision.embeddings import unpacked
from larder.models.vision.picture_baselines import Vectors, histogram_vectors, pixel_vectors, projected_vectors
from larder.settings import EvaluationSettings
from larder.storage import Manifest, Tables
from larder.storage.frames import read_frame

EMBEDDING, HISTOGRAM = "embedding", "colour histogram"
PIXEL_BYTES = 256 << 20  # the most that the driver holds; they are compared as float32, four times as many bytes


@dataclass(frozen=True)
class PictureMetrics:
    """The result of `leaf_precision_at_k` for each kind of vectors, and an HTML page of sample pictures."""

    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    page: str = ""


def measure_pictures(
    spark: SparkSession, tables: Tables, sources: Mapping[str, Any], evaluation: EvaluationSettings
) -> PictureMetrics:
    """Returns the metrics of embeddings and baselines, empty if there are no embeddings.

    The driver holds all pictures compared: at most `evaluation.pictures`, and PIXEL_BYTES of pixels.
    """
    if EMBEDDINGS not in sources:
        return PictureMetrics()
    images = sources[IMAGES]
    limit = most_pictures(images.parameters["image_size"], evaluation)
    return picture_metrics(pictures_of(spark, tables, images, sources[EMBEDDINGS], limit), evaluation)


def most_pictures(image_size: int, evaluation: EvaluationSettings) -> int:
    """Returns the number of pictures to compare, for pictures of `image_size` pixels a side."""
    return min(evaluation.pictures, PIXEL_BYTES // (image_size**2 * CHANNELS))


def pictures_of(spark: SparkSession, tables: Tables, images: Manifest, embeddings: Manifest, limit: int) -> pa.Table:
    """Returns PRODUCT_ID, CATEGORY, HELD_OUT, PIXELS and EMBEDDING of a sample of at most `limit` products."""
    pictures = read_frame(spark, tables, [images], IMAGES.schema)
    vectors = read_frame(spark, tables, [embeddings], EMBEDDINGS.schema)
    some = vectors.orderBy(F.xxhash64(C.PRODUCT_ID), C.PRODUCT_ID).limit(limit)
    return to_arrow(pictures.join(some, C.PRODUCT_ID).orderBy(C.PRODUCT_ID))


def picture_metrics(table: pa.Table, evaluation: EvaluationSettings) -> PictureMetrics:
    """Returns the metrics of a table of `pictures_of`."""
    if not len(table):
        return PictureMetrics()
    leaves, held_out = table[C.CATEGORY].to_pylist(), table[C.HELD_OUT].to_numpy()

    def share(vectors: Vectors) -> dict[str, float]:
        return leaf_precision_at_k(vectors, leaves, held_out, bootstrap=evaluation.bootstrap, seed=evaluation.seed)

    pixels, embedding = table[C.PIXELS].to_pylist(), unpacked(table[C.EMBEDDING])
    shown = {EMBEDDING: embedding, HISTOGRAM: histogram_vectors(pixels)}
    shares = {name: share(vectors) for name, vectors in shown.items()}
    # These vectors are as long as a picture has pixels, so they are made one after the other and not kept.
    shares["raw pixels"] = share(pixel_vectors(pixels))
    shares["random projection"] = share(projected_vectors(pixels, embedding.shape[1], evaluation.seed))
    return PictureMetrics(shares, picture_page(table, shown, shares))
