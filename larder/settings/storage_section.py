"""The section `[storage]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class StorageSettings(Section):
    """Where data lies: local paths, `s3a://` or `hdfs://` URIs. A relative path is relative to the settings file."""

    events: str = Field("data/events", description="Folder of the event log, with dt=YYYY-MM-DD/hr=HH/ partitions.")
    tables: str = Field("data/tables", description="Folder in which Larder keeps its own tables.")
    catalogue: str = Field("data/catalogue.parquet", description="Parquet file or folder with one row per product.")
    images: str = Field(
        "",
        description="Folder that the catalogue's relative image paths start from. Empty: the catalogue's own folder.",
    )
