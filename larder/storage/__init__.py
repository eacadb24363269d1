"""Tables as immutable runs under manifests, on local disk, S3 or HDFS."""

from larder.storage.filesystems import StoragePath
from larder.storage.manifests import DamagedTableError, DataFile, Manifest, MissingPartitionError, Tables

__all__ = ["DamagedTableError", "DataFile", "Manifest", "MissingPartitionError", "StoragePath", "Tables"]
