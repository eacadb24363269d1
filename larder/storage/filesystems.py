"""One way to read and write small files anywhere: local paths, s3a:// and hdfs:// URIs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs

from larder.storage.s3 import SCHEMES, etags, open_s3

OF_HADOOP = ("hdfs", "viewfs")
KNOWN = "name a local path, or one of s3a:// or hdfs://"


class StorageUriError(ValueError):
    """A URI of a kind of store that is not known here, or of none at all."""


@dataclass(frozen=True)
class StoragePath:
    """A file or folder: `uri` as Spark reads it, and the means to reach it without Spark.

    Small enough to pickle into Spark tasks: the file system is opened where it is used.
    """

    uri: str

    def __truediv__(self, name: str) -> StoragePath:
        return StoragePath(f"{self.uri.rstrip('/')}/{name}")

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri or self.uri.startswith("file://")

    @property
    def path(self) -> str:
        """The path inside its file system."""
        return self.open()[1]

    def open(self) -> tuple[fs.FileSystem, str]:
        """Its file system and the path in it. S3 is where larder/storage/s3.py says. Raises StorageUriError."""
        scheme, separator, rest = self.uri.partition("://")
        if not separator:
            return fs.LocalFileSystem(), str(Path(self.uri).absolute())
        if scheme == "file":
            return fs.LocalFileSystem(), rest
        if scheme in SCHEMES:
            return open_s3(), rest
        if scheme not in OF_HADOOP:
            raise StorageUriError(f"{self.uri}: no kind of place that is known here; {KNOWN}")
        try:
            return fs.FileSystem.from_uri(self.uri)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StorageUriError(f"{self.uri}: {error}; {KNOWN}") from None
        except OSError as error:
            if "libhdfs" not in str(error):
                raise
            raise StorageUriError(
                f"{self.uri}: Hadoop's libhdfs is not found; set ARROW_LIBHDFS_DIR, JAVA_HOME and CLASSPATH for it"
            ) from None

    def exists(self) -> bool:
        system, path = self.open()
        return system.get_file_info(path).type != fs.FileType.NotFound

    def files(self) -> list[fs.FileInfo]:
        """Itself if it is a file, else the files below it, by path; none if there is nothing. No hidden ones (`_x`)."""
        system, path = self.open()
        if system.get_file_info(path).type == fs.FileType.File:
            return [system.get_file_info(path)]
        found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        shown = (f for f in found if f.type == fs.FileType.File and not _is_hidden(f.path[len(path) :]))
        return sorted(shown, key=lambda f: f.path)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file directly in it, by name; none if it is not there."""
        system, path = self.open()
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def versions(self, files: Iterable[fs.FileInfo]) -> dict[str, str]:
        """By path, what changes whenever a file's content may have: the ETag on S3, else the time of change."""
        of_path = etags(self.path) if self.uri.partition("://")[0] in SCHEMES else {}
        return {info.path: of_path.get(info.path, str(info.mtime_ns)) for info in files}

    def folders(self) -> list[str]:
        """Names of the folders directly in it, sorted; none if it is not there."""
        system, path = self.open()
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(f.base_name for f in found if f.type == fs.FileType.Directory)

    def read(self) -> bytes:
        system, path = self.open()
        with system.open_input_stream(path) as stream:
            return stream.read()

    def write(self, data: bytes | pa.Buffer, durable: bool = False) -> None:
        """Writes the file whole or not at all: a reader never sees half of it.

        `durable`: on a local disk it also outlives a loss of power from then on; on S3 it always does.
        """
        system, path = self.open()
        if isinstance(system, fs.S3FileSystem):  # an object is seen only once it is complete
            with system.open_output_stream(path) as stream:
                stream.write(data)
            return
        folder, _, name = path.rpartition("/")
        part = f"{folder}/.{name}.{os.getpid()}"
        system.create_dir(folder, recursive=True)
        with system.open_output_stream(part) as stream:
            stream.write(data)
        if durable and self.is_local:
            _to_disk(part)
        if not self.is_local and self.exists():
            system.delete_file(path)  # HDFS does not rename onto a file
        system.move(part, path)
        if durable and self.is_local:
            _to_disk(folder)


def _to_disk(path: str) -> None:
    """What the system still holds in memory of a file, or of the names in a folder, is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_hidden(below: str) -> bool:
    """Folders too: a writer that is not done keeps its files in _temporary or the like."""
    return any(name.startswith(("_", ".")) for name in below.split("/"))
