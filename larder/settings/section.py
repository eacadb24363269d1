"""The base class of every section of `larder.toml`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of `larder.toml`. It cannot be changed once read, and an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
