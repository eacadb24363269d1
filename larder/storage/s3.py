"""How S3 is reached: by the usual AWS_* variables, for pyarrow, boto3 and Spark's s3a alike.

Keys, profiles and roles are left to Amazon's own chain of providers, which all three know.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as fs

SCHEMES = ("s3", "s3a", "s3n")
FOR_MESSAGES = "s3a"
BYTES_AT_ONCE = 64 << 20  # larger objects are written in parts
# What tasks on other machines must know too. Keys are not among them: they have their own there.
SHARED_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


class EndpointError(ValueError):
    """AWS_ENDPOINT_URL, or `endpoint` of [s3], is no URL of a store."""


@dataclass(frozen=True)
class S3Access:
    """Where S3 is. Empty: Amazon's, in the region that its tools find."""

    endpoint: str = ""  # a URL
    region: str = ""

    @staticmethod
    def from_environment(variables: Mapping[str, str]) -> S3Access:
        """The variable that speaks of S3 alone wins, as it does with Amazon's tools. Raises EndpointError."""
        endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL", "")
        if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
            raise EndpointError(
                f"{endpoint!r} is no endpoint of S3: AWS_ENDPOINT_URL must begin with http:// or https://"
            )
        return S3Access(endpoint, variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION", ""))

    def open(self) -> fs.S3FileSystem:
        """pyarrow's file system. One for all who ask for the same."""
        return _file_system(self)

    def spark_options(self) -> dict[str, str]:
        """Options of s3a. A store with an endpoint of its own has its buckets in the path, not in the host's name."""
        options = {}
        if self.region:
            options["spark.hadoop.fs.s3a.endpoint.region"] = self.region
        if self.endpoint:
            options |= {
                "spark.hadoop.fs.s3a.endpoint": self.endpoint,
                "spark.hadoop.fs.s3a.path.style.access": "true",
                "spark.hadoop.fs.s3a.connection.ssl.enabled": str(self.endpoint.startswith("https://")).lower(),
            }
        return options


def spark_options(variables: Mapping[str, str]) -> dict[str, str]:
    """What a Spark session needs to reach the same S3 in Java, and in the Python of its tasks."""
    shared = {f"spark.executorEnv.{name}": variables[name] for name in SHARED_VARIABLES if variables.get(name)}
    return {**S3Access.from_environment(variables).spark_options(), **shared}


def etags(path: str) -> dict[str, str]:
    """ETags of the objects below `BUCKET/FOLDER`, by path: they change with the content, within a second too."""
    bucket, _, folder = path.partition("/")
    client = _client(S3Access.from_environment(os.environ))
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder.rstrip('/')}/")
    return {
        f"{bucket}/{found['Key']}": found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])
    }


def objects_after(folder: str, key: str) -> tuple[list[tuple[str, int, datetime]], bool]:
    """Returns up to 1,000 objects below `BUCKET/FOLDER` whose keys follow `key`, and whether there are more.

    Each is its path (`BUCKET/KEY`), its bytes and its time of change; they are in the order of their keys. Raises
    OSError.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = folder.partition("/")
    client = _client(S3Access.from_environment(os.environ))
    try:
        page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, StartAfter=key)
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"AWS: {FOR_MESSAGES}://{folder} can't be listed: {error}") from error
    objects = [(f"{bucket}/{each['Key']}", each["Size"], each["LastModified"]) for each in page.get("Contents", [])]
    return objects, bool(page["IsTruncated"])


def put_object(path: str, data: bytes | pa.Buffer) -> None:
    """Writes the object `BUCKET/KEY`: whole, or not at all if it is cut short. Raises OSError."""
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = path.partition("/")
    client = _client(S3Access.from_environment(os.environ))
    size = data.size if isinstance(data, pa.Buffer) else len(data)
    try:
        if size <= BYTES_AT_ONCE:
            client.put_object(Bucket=bucket, Key=key, Body=pa.BufferReader(data), ContentLength=size)
        else:  # in parts, which are thrown away if one of them fails
            client.upload_fileobj(pa.BufferReader(data), bucket, key, Config=TransferConfig(BYTES_AT_ONCE))
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"AWS: {FOR_MESSAGES}://{path} can't be written: {error}") from error


@cache
def _client(access: S3Access) -> Any:
    import boto3  # takes a moment, and most never need it
    from botocore.config import Config

    # Stores other than Amazon's often know no checksums in trailers.
    config = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return boto3.client("s3", endpoint_url=access.endpoint or None, region_name=access.region or None, config=config)


@cache
def _file_system(access: S3Access) -> fs.S3FileSystem:
    url = urlsplit(access.endpoint)
    return fs.S3FileSystem(
        region=access.region or None,
        scheme=url.scheme or None,
        endpoint_override=url.netloc or None,
    )


def open_s3() -> fs.S3FileSystem:
    """S3 as this process's environment has it."""
    return S3Access.from_environment(os.environ).open()
