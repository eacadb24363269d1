"""The section `[s3]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class S3Settings(Section):
    """Where S3 is, if not at Amazon; AWS_ENDPOINT_URL and AWS_REGION win. Keys are found as its tools do."""

    endpoint: str = Field("", pattern="^(https?://.+)?$", description="URL of another store that speaks S3")
    region: str = ""
