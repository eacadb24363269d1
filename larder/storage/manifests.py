"""Tables as immutable runs, each made visible by one small manifest that is written last.

    TABLE/runs/RUN/part-00000.parquet      data; a run's name is the fingerprint of all that it was made from
    TABLE/manifests/PARTITION.json         which run is PARTITION now, its files, rows, inputs and parameters

Readers go through manifests only, so a job killed before its manifest has changed nothing that anybody sees, and a
rerun, which writes the same bytes to the same names, needs no cleaning up.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from larder.storage.filesystems import StoragePath

FINGERPRINT_DIGITS = 16
MANIFEST_READERS = 16


class MissingPartitionError(LookupError):
    """A table has no such partition; the message names both and says which command makes it."""


class DamagedTableError(RuntimeError):
    """A file of a table is not what its manifest says, or the manifest can't be read; the message names it."""


@cache
def code_version() -> str:
    """The installed version of Larder, part of the fingerprint of a table without a logic version."""
    try:
        return version("larder")
    except PackageNotFoundError:
        return "unknown"


def fingerprint(value: Any) -> str:
    """Hex digest of any JSON value; the same value always gives the same one."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


DIGESTS = "digests"  # among a manifest's parameters, where every version of Larder can read past them


Content: TypeAlias = "bytes | pa.Buffer"


def digest_of(data: Content) -> str:
    """The CRC-32 of a file's bytes as 8 hexadecimal digits: it differs for any flipped bit."""
    return f"{zlib.crc32(data):08x}"


@dataclass(frozen=True)
class DataFile:
    """One file of a run. `digest`: of its bytes, empty if its writer did not say."""

    name: str
    rows: int
    bytes: int
    digest: str = ""

    @staticmethod
    def of(name: str, rows: int, data: Content) -> DataFile:
        """The file with these bytes."""
        return DataFile(name, rows, data.size if isinstance(data, pa.Buffer) else len(data), digest_of(data))


class StoredFile(NamedTuple):
    """A data file of a table where it lies, and the digest and remedy that its manifest gives. Pickles."""

    uri: str
    digest: str
    remedy: str

    def read(self) -> bytes:
        """The file's bytes. Raises DamagedTableError if they are not those that were written."""
        data = StoragePath(self.uri).read()
        if self.digest not in ("", digest_of(data)):
            raise DamagedTableError(f"{self.uri} has other bytes than its manifest says; {self.remedy}")
        return data


@dataclass(frozen=True)
class Manifest:
    """The files of one partition of a table, and the inputs and parameters that they were made from."""

    table: str
    partition: str
    run: str
    files: tuple[DataFile, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def reference(self) -> str:
        """How another manifest names this one among its inputs."""
        return f"{self.table}/{self.partition}@{self.run}"

    def as_json(self) -> bytes:
        values = asdict(self)
        digests = {file["name"]: digest for file in values["files"] if (digest := file.pop("digest"))}
        if digests:
            values["parameters"] = {**values["parameters"], DIGESTS: digests}
        return (json.dumps({**values, "rows": self.rows}, sort_keys=True, indent=1) + "\n").encode()

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        values = json.loads(data)
        values.pop("rows")
        digests = values["parameters"].pop(DIGESTS, {})
        files = tuple(DataFile(**file, digest=digests.get(file["name"], "")) for file in values["files"])
        return Manifest(**{**values, "files": files})


def plan_run(table: str, partition: str, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> Manifest:
    """The manifest of a run not yet made: its name follows from inputs, parameters and code, and from nothing else.

    The code is told by the table's logic version, as larder.models.tables has it, so that a release of Larder that
    changes no table makes none anew.
    """
    logic = getattr(table, "logic", None) or code_version()
    planned = Manifest(table, partition, run="", inputs=dict(inputs), parameters=dict(parameters), code_version=logic)
    return replace(planned, run=fingerprint(asdict(planned)))


@dataclass(frozen=True)
class Tables:
    """All tables below one root. Pickles into Spark tasks."""

    root: str

    def place(self, table: str) -> StoragePath:
        return StoragePath(self.root) / table

    def run_folder(self, manifest: Manifest) -> StoragePath:
        return self.place(manifest.table) / "runs" / manifest.run

    def uris(self, manifests: Iterable[Manifest]) -> list[str]:
        """The data files of these manifests, for Spark or pyarrow to read. Raises DamagedTableError.

        Spark takes an empty file for no rows, and a machine that loses power leaves some.
        """
        return [file.uri for file in self.stored(manifests)]

    def stored(self, manifests: Iterable[Manifest]) -> list[StoredFile]:
        """The data files of these manifests, whose sizes are right. Raises DamagedTableError."""
        manifests = list(manifests)
        damages = [damage for damage in self._damages(manifests) if damage]
        if damages:
            more = f" (and {len(damages) - 1} more partitions are damaged)" if len(damages) > 1 else ""
            raise DamagedTableError(damages[0] + more)
        return [self._stored(manifest, file) for manifest in manifests for file in manifest.files]

    def _stored(self, manifest: Manifest, file: DataFile) -> StoredFile:
        remedy = f"make {manifest.table} of {manifest.partition} again"
        return StoredFile((self.run_folder(manifest) / file.name).uri, file.digest, remedy)

    def read(self, manifest: Manifest, name: str) -> bytes:
        """The bytes of a file of this manifest. Raises DamagedTableError."""
        self.uris([manifest])
        for file in manifest.files:
            if file.name == name:
                return self._stored(manifest, file).read()
        return (self.run_folder(manifest) / name).read()

    def find(self, table: str, partition: str) -> Manifest | None:
        """The partition's manifest, or None. Raises DamagedTableError."""
        place = self._manifest_place(table, partition)
        if not place.exists():
            return None
        data = place.read()
        try:
            return Manifest.from_json(data)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedTableError(
                f"{place.uri} is no manifest ({error!r}); remove it, and make {table} of {partition} again"
            ) from None

    def find_all(self, table: str, partitions: Iterable[str]) -> list[Manifest | None]:
        """`find` for many partitions at once, in their order."""
        with ThreadPoolExecutor(MANIFEST_READERS) as pool:
            return list(pool.map(lambda partition: self.find(table, partition), partitions))

    def get(self, table: str, partition: str, made_by: str) -> Manifest:
        """The partition's manifest. Raises MissingPartitionError, which tells to run `made_by` first."""
        manifest = self.find(table, partition)
        if manifest is None:
            raise MissingPartitionError(
                f"table {table} has no partition {partition} under {self.root}; make it with `{made_by}`"
            )
        return manifest

    def are_current(self, planned: Sequence[Manifest]) -> list[bool]:
        """Whether each planned run is what its partition shows already, with all its files."""
        return [shown and not damage for shown, damage in self._shown(planned)]

    def are_damaged(self, planned: Sequence[Manifest]) -> list[bool]:
        """Whether each planned run is what its partition shows, but with a file that differs."""
        return [shown and bool(damage) for shown, damage in self._shown(planned)]

    def is_current(self, planned: Manifest) -> bool:
        """`are_current` of one run."""
        return self.are_current([planned])[0]

    def publish(self, manifest: Manifest) -> None:
        """Makes the run visible. The last step of every job."""
        self._manifest_place(manifest.table, manifest.partition).write(manifest.as_json(), durable=True)

    def damage(self, manifest: Manifest) -> str | None:
        """How a file's size differs from what the manifest says; None if all are right."""
        if not manifest.files:
            return None
        place = self.run_folder(manifest)
        sizes = place.sizes()
        for file in manifest.files:
            found = sizes.get(file.name)
            if found != file.bytes:
                state = "is gone" if found is None else f"has {found:,} bytes"
                return (
                    f"{(place / file.name).uri} {state}, where its manifest says {file.bytes:,} bytes; "
                    f"make {manifest.table} of {manifest.partition} again"
                )
        return None

    def _damages(self, manifests: Sequence[Manifest]) -> list[str | None]:
        with ThreadPoolExecutor(MANIFEST_READERS) as pool:
            return list(pool.map(self.damage, manifests))

    def _shown(self, planned: Sequence[Manifest]) -> list[tuple[bool, str | None]]:
        """Whether the partition of each planned run shows it, and its damage. An unreadable manifest shows nothing."""
        with ThreadPoolExecutor(MANIFEST_READERS) as pool:
            found = list(pool.map(self._readable, planned))
        shown = [some if some and some.run == each.run else None for some, each in zip(found, planned, strict=True)]
        damages = iter(self._damages([some for some in shown if some]))
        return [(some is not None, next(damages) if some else None) for some in shown]

    def _readable(self, planned: Manifest) -> Manifest | None:
        try:
            return self.find(planned.table, planned.partition)
        except DamagedTableError:
            return None

    def _manifest_place(self, table: str, partition: str) -> StoragePath:
        return self.place(table) / "manifests" / f"{partition}.json"
