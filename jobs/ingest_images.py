"""Decodes and resizes the catalogue's pictures once; a picture that cannot be used is quarantined with its reason.

Tasks fetch pictures themselves, from whatever file system a URI names. If no picture and no category has changed,
nothing is done.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

import pyarrow.fs as fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from larder.jobs.lists.catalogue import CatalogueError, catalogue_of, column_of
from larder.jobs.runtime.expected_errors import errors_in_a_line
from larder.jobs.runtime.job_arguments import parse
from larder.jobs.runtime.notices import tell
from larder.jobs.runtime.session import spark_session
from larder.jobs.runtime.stage_report import StageReport, stage
from larder.jobs.vision.picture_files import (
    CHANNELS,
    FETCHED_DDL,
    NAMED,
    STATED_DDL,
    UNREADABLE_IMAGE,
    URI,
    PictureFetcher,
    stat,
)
from larder.models import columns as C
from larder.models.tables import CATALOGUE, IMAGE_QUARANTINE, IMAGES, QUARANTINE
from larder.settings import Settings, VisionSettings
from larder.storage import Manifest, StoragePath, Tables
from larder.storage.frames import read_frame, write_frame
from larder.storage.manifests import plan_run

JOB = "ingest_images"
CATALOGUE_IMAGES, UNREAD = "catalogue_images", "unread"  # inputs of a run
FILE_BYTES = 64 << 20  # of pixels in one file, which is made in memory
TASK_ROWS = 1_000
TASKS_PER_CORE = 4
SHARES = 10_000
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):/")


class NoImageReadError(RuntimeError):
    """No picture could be read: a store that is down must not empty the table."""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the job's arguments; `argv` is the process's own if None."""
    return parse(JOB, argv)


def run(spark: SparkSession, arguments: argparse.Namespace) -> StageReport:
    """Writes `images` and `image_quarantine`. `rows_in` counts the catalogue's rows that name a picture.

    Raises CatalogueError, and NoImageReadError if pictures are named and none can be read.
    """
    settings: Settings = arguments.settings
    with stage(spark, JOB, CATALOGUE) as report:
        tables = Tables(settings.storage.tables)
        catalogue = read_catalogue(spark, settings)
        named = one_per_product(with_uri(catalogue, image_prefix(settings)))
        digest, products = _digest(named)
        if _is_current(tables, digest, settings) and not _may_do_better(spark, tables, _fetch(settings)):
            report.details["up_to_date"] = True
        else:
            _ingest(tables, digest, named, products, settings)
        has_no_id = F.col(C.PRODUCT_ID).isNull() & ~_has_image()  # with a picture, it is in quarantine
        rows = catalogue.agg(F.count("*"), F.count_if(_has_image()), F.count_if(has_no_id)).first()
        assert rows is not None
        report.rows_in = rows[1]
        report.rows_out = tables.get(IMAGES, CATALOGUE, JOB).rows
        quarantine = tables.get(IMAGE_QUARANTINE, CATALOGUE, JOB)
        report.quarantined = quarantine.rows
        report.duplicates = rows[1] - products
        report.details |= {"products": rows[0], "without_image": rows[0] - rows[1], **dict(quarantine.counts)}
        if rows[2]:
            report.details["without_id"] = rows[2]
            tell(f"{settings.storage.catalogue} (storage.catalogue): rows without an id that can be read: {rows[2]:,}")
    return report


def main(argv: list[str] | None = None) -> None:
    """Runs the job as the command line says."""
    start(parse_arguments(argv))


def start(arguments: argparse.Namespace) -> None:
    """Runs the job in a Spark session of its own."""
    with spark_session(JOB, arguments.settings) as spark:
        run(spark, arguments)


def read_catalogue(spark: SparkSession, settings: Settings) -> DataFrame:
    """Returns product_id, category and image as strings; missing columns are null. Raises CatalogueError."""
    raw = catalogue_of(spark, settings)
    if raw is None:
        raise CatalogueError(f"no catalogue at {settings.storage.catalogue} (storage.catalogue)")
    return raw.select(*(column_of(raw, name, "string").alias(name) for name in (C.PRODUCT_ID, C.CATEGORY, C.IMAGE)))


def image_prefix(settings: Settings) -> str:
    """Returns the folder that relative picture URIs are relative to: storage.images, else the catalogue's folder."""
    if settings.storage.images:
        return settings.storage.images
    system, path = StoragePath(settings.storage.catalogue).open()
    is_file = system.get_file_info(path).type == fs.FileType.File
    return settings.storage.catalogue.rpartition("/")[0] if is_file else settings.storage.catalogue


def resolved(uri: str, prefix: str) -> str:
    """Returns the full URI or local path of a picture.

    `uri` is like `images/1.jpg`, `/a/1.jpg`, `file:/a/1.jpg` or `s3a://b/1.jpg`.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return uri if uri.startswith("/") else f"{prefix.rstrip('/')}/{uri}"
    if scheme[1].lower() == "file":
        return "/" + unquote(uri[len("file:") :]).lstrip("/")
    return uri


def with_uri(catalogue: DataFrame, prefix: str) -> DataFrame:
    """Returns the catalogue's rows that name a picture, with its full URI."""
    full = F.udf(partial(resolved, prefix=prefix), T.StringType())
    return catalogue.where(_has_image()).withColumn(URI, full(F.trim(C.IMAGE))).drop(C.IMAGE)


def one_per_product(named: DataFrame) -> DataFrame:
    """Returns one row a product id, the last by URI and category, and all rows without an id, to be quarantined."""
    last = F.max(F.struct(URI, C.CATEGORY)).alias("last")
    known = named.where(F.col(C.PRODUCT_ID).isNotNull()).groupBy(C.PRODUCT_ID).agg(last)
    unknown = named.where(F.col(C.PRODUCT_ID).isNull())
    return known.select(C.PRODUCT_ID, f"last.{C.CATEGORY}", f"last.{URI}").unionByName(unknown)


def _has_image() -> F.Column:
    return F.coalesce(F.length(F.trim(C.IMAGE)), F.lit(0)) > 0


def _plan(table: str, digest: str, unread: str, settings: Settings) -> Manifest:
    """`unread` is a digest of the unreadable pictures: one that can be read later makes another run."""
    chosen = ["image_size", "max_pixels", "max_bytes", "min_side", "held_out"]
    if settings.vision.decode_seconds != VisionSettings().decode_seconds:
        chosen.append("decode_seconds")  # a run by the default has the name that it had before there was this limit
    parameters = {name: getattr(settings.vision, name) for name in chosen}
    inputs = {CATALOGUE_IMAGES: digest, **({UNREAD: unread} if unread else {})}
    return plan_run(table, CATALOGUE, inputs, parameters)


def _is_current(tables: Tables, digest: str, settings: Settings) -> bool:
    """Whether both tables were made from these files, whichever of them could not be read then."""
    before = tables.find(IMAGE_QUARANTINE, CATALOGUE)
    unread = before.inputs.get(UNREAD, "") if before else ""
    return all(tables.is_current(_plan(table, digest, unread, settings)) for table in (IMAGES, IMAGE_QUARANTINE))


def _may_do_better(spark: SparkSession, tables: Tables, fetch: PictureFetcher) -> bool:
    """Whether a file can be read now that could not be before: nothing else shows that a store answers again."""
    before = tables.find(IMAGE_QUARANTINE, CATALOGUE)
    if before is None or not before.counts.get(UNREADABLE_IMAGE):
        return False
    rows = read_frame(spark, tables, [before], QUARANTINE.schema).where(F.col(C.REASON) == UNREADABLE_IMAGE)
    category = F.lit(None).cast("string").alias(C.CATEGORY)
    named = rows.select(F.col(C.RAW).alias(C.PRODUCT_ID), category, F.col(C.SOURCE).alias(URI))
    again = named.mapInArrow(fetch, FETCHED_DDL)
    return not again.where(F.coalesce(C.REASON, F.lit("")) != UNREADABLE_IMAGE).isEmpty()


def _fetch(settings: Settings) -> PictureFetcher:
    vision = settings.vision
    return PictureFetcher(
        vision.image_size,
        vision.max_pixels,
        vision.max_bytes,
        vision.min_side,
        vision.read_ahead,
        vision.decode_seconds,
    )


def _digest(named: DataFrame) -> tuple[str, int]:
    """Returns a digest of products, categories and files, the same in any order, and the number of rows."""
    # In order of their URIs, so that files of a folder come to one task, which lists them.
    tasks = TASKS_PER_CORE * named.sparkSession.sparkContext.defaultParallelism
    sorted_ = named.select(*NAMED.names).repartitionByRange(tasks, URI).sortWithinPartitions(URI)
    stated = sorted_.mapInArrow(stat, STATED_DDL)
    total = stated.agg(F.count("*"), _sum_of(stated.columns)).first()
    assert total is not None
    return f"{total[0]} rows, sum {total[1] or 0}", total[0]


def _sum_of(columns: Sequence[str]) -> F.Column:
    return F.sum(F.xxhash64(*columns).cast("decimal(38,0)"))


def _ingest(tables: Tables, digest: str, named: DataFrame, products: int, settings: Settings) -> None:
    vision = settings.vision
    spread = named.select(*NAMED.names).repartition(max(vision.workers, products // TASK_ROWS), C.PRODUCT_ID)
    fetched = spread.mapInArrow(_fetch(settings), FETCHED_DDL).persist()
    files = 1 + products * vision.image_size**2 * CHANNELS // FILE_BYTES
    good = fetched.where(F.col(C.REASON).isNull()).withColumn(C.HELD_OUT, _held_out(vision.held_out))
    bad = fetched.where(F.col(C.REASON).isNotNull()).select(
        F.col(URI).alias(C.SOURCE), C.REASON, F.coalesce(C.PRODUCT_ID, F.lit("")).alias(C.RAW)
    )
    reasons = bad.groupBy(C.REASON).agg(F.count("*"), _sum_of([C.RAW, C.SOURCE])).orderBy(C.REASON).collect()
    counts = {reason: count for reason, count, _ in reasons}
    unread = "".join(f"{count} rows, sum {total}" for reason, count, total in reasons if reason == UNREADABLE_IMAGE)
    planned = [_plan(table, digest, unread, settings) for table in (IMAGES, IMAGE_QUARANTINE)]
    images = write_frame(tables, planned[0], good, IMAGES.schema, files, [C.PRODUCT_ID])
    quarantine = write_frame(tables, planned[1], bad, QUARANTINE.schema, 1, [C.RAW, C.SOURCE])
    fetched.unpersist()
    if products and not images.rows:
        raise NoImageReadError(
            f"none of {products} pictures could be read; is {image_prefix(settings)} (storage.images) right, and can "
            "it be read?"
        )
    for manifest in (replace(quarantine, counts=counts), images):
        tables.publish(manifest)


def _held_out(share: float) -> F.Column:
    """Whether a product is held out, by its id alone: it stays so as the catalogue grows."""
    return F.pmod(F.xxhash64(C.PRODUCT_ID, F.lit(C.HELD_OUT)), F.lit(SHARES)) < round(share * SHARES)


if __name__ == "__main__":
    with errors_in_a_line():
        main()
