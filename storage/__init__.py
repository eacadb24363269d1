"""Tables as immutable runs under manifests, on local disk, S3 or HDFS."""

from storage.filesystems import Place
from storage.tables import DataFile, Manifest, MissingPartitionError, Tables

__all__ = ["DataFile", "Manifest", "MissingPartitionError", "Place", "Tables"]
