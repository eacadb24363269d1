"""What every section of `larder.toml` has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of `larder.toml`; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
