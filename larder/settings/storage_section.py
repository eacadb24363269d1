"""The section `[storage]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class StorageSettings(Section):
    """Where data lies. Local paths, `s3a://` and `hdfs://` URIs; a relative path is relative to the settings file."""

    events: str = Field("data/events", description="folder of dt=YYYY-MM-DD/hr=HH/ partitions")
    tables: str = Field("data/tables", description="where Larder keeps its own tables")
    catalogue: str = Field("data/catalogue.parquet", description="Parquet file or folder of products")
    images: str = Field(
        "", description="prefix for relative image URIs of the catalogue; empty: the catalogue's folder"
    )
