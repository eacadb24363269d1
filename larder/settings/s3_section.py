"""The section `[s3]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class S3Settings(Section):
    """Where S3 is, if it is not Amazon's. AWS_ENDPOINT_URL and AWS_REGION win over this section.

    Access keys are no settings: they are found as Amazon's own tools find them.
    """

    endpoint: str = Field(
        "", pattern="^(https?://.+)?$", description="URL of an S3-compatible store. Empty: Amazon S3."
    )
    region: str = Field("", description="Region of the store, such as eu-central-1. Empty: what the AWS tools find.")
