"""Reads and writes files anywhere: local paths, s3a:// and hdfs:// URIs."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs

from larder.storage.s3 import SCHEMES, etags, open_s3, put_object

OF_HADOOP = ("hdfs", "viewfs")
FOR_SPARK = "s3a"
KNOWN = "name a local path, or one of s3a:// or hdfs://"
# How a file is named that its writer is not done with: Hadoop, Flink, and most others.
UNFINISHED = re.compile(
    r"(\.tmp|\._COPYING_|\.inprogress|\.in-progress|\.partial|\.part|\.filepart|\.swp|~)$|\.inprogress\.", re.I
)


class StorageUriError(ValueError):
    """The URI of a kind of store that Larder does not know, or no URI at all."""


@dataclass(frozen=True)
class StoragePath:
    """A file or folder: `uri` as Spark reads it, and the means to reach it without Spark.

    Small enough to pickle into Spark tasks: the file system is opened where it is used. `s3://` and `s3n://` become
    `s3a://`, the only one of them that Spark reads.
    """

    uri: str

    def __post_init__(self) -> None:
        scheme, separator, rest = self.uri.partition("://")
        if separator and scheme in SCHEMES:
            object.__setattr__(self, "uri", f"{FOR_SPARK}://{rest}")

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
        """Returns its file system and the path in it; larder/storage/s3.py says which S3. Raises StorageUriError."""
        scheme, separator, rest = self.uri.partition("://")
        if not separator:
            return fs.LocalFileSystem(), str(Path(self.uri).absolute())
        if scheme == "file":
            return fs.LocalFileSystem(), rest
        if scheme in SCHEMES:
            return open_s3(), rest
        if scheme not in OF_HADOOP:
            raise StorageUriError(f"{self.uri}: this kind of storage is not known; {KNOWN}")
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
        """Itself if it is a file, else the files below it, by path; none if it does not exist.

        Without hidden ones (`_x`, `.x`, or in a folder named so) and those that their writer has not finished.
        """
        system, path = self.open()
        if system.get_file_info(path).type == fs.FileType.File:
            return [system.get_file_info(path)]
        found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        shown = (f for f in found if f.type == fs.FileType.File and is_shown(f.path[len(path) :]))
        return sorted(shown, key=lambda f: f.path)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file directly in it, by name; empty if it does not exist."""
        system, path = self.open()
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def versions(self, files: Iterable[fs.FileInfo]) -> dict[str, str]:
        """Each file's version by path, which changes with its content: the ETag on S3, else the time of change."""
        of_path = etags(self.path) if self.uri.partition("://")[0] in SCHEMES else {}
        return {info.path: of_path.get(info.path, str(info.mtime_ns)) for info in files}

    def folders(self) -> list[str]:
        """Names of the folders directly in it, sorted; empty if it does not exist."""
        system, path = self.open()
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(f.base_name for f in found if f.type == fs.FileType.Directory)

    def read(self) -> bytes:
        system, path = self.open()
        with system.open_input_stream(path) as stream:
            return stream.read()

    def write(self, data: bytes | pa.Buffer, durable: bool = False) -> None:
        """Writes the file whole or not at all: a reader never sees half of it, whatever cuts the writing short.

        `durable`: on a local disk it also outlives a loss of power from then on; on S3 it always does.
        """
        system, path = self.open()
        if isinstance(system, fs.S3FileSystem):
            # Not by PyArrow's stream, which completes an upload even if an exception ends it.
            put_object(path, data)
            return
        folder, _, name = path.rpartition("/")
        # Two machines, or containers, may write to one folder by the same process id.
        part = f"{folder}/.{name}.{uuid.uuid4().hex}"
        system.create_dir(folder, recursive=True)
        try:
            with system.open_output_stream(part) as stream:
                stream.write(data)
        except BaseException:
            with suppress(OSError):
                system.delete_file(part)
            raise
        if durable and self.is_local:
            _to_disk(part)
        if not self.is_local and self.exists():
            system.delete_file(path)  # HDFS does not rename onto a file
        system.move(part, path)
        if durable and self.is_local:
            _to_disk(folder)


def _to_disk(path: str) -> None:
    """Flushes a file's content, or a folder's names, from memory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_shown(below: str) -> bool:
    """Whether a path below a folder is neither hidden nor unfinished: no name in it begins with `_` or `.`, or ends as
    UNFINISHED says."""
    return not any(name.startswith(("_", ".")) or UNFINISHED.search(name) for name in below.split("/"))
