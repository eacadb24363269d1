"""The section `[evaluation]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class EvaluationSettings(Section):
    """How lists are measured."""

    users: int = Field(20_000, ge=1, description="at most so many users are measured")
    least_ratio_to_popularity: float = Field(
        0.0, ge=0, description="the gate: NDCG@10 on new products, personal over popularity; below it none is published"
    )
    cold_products: int = Field(20, ge=1, description="a user who bought fewer products is cold, and measured apart")
    diversities: list[float] = Field(default_factory=list, description="values of lists.diversity to measure besides")
    peers: bool = Field(False, description="measure implicit, too, where it is installed; for some thousand users")
    bootstrap: int = Field(200, ge=0, description="resamples of users for the confidence interval; 0: none")
    seed: int = 42
    pictures: int = Field(
        10_000, ge=2, description="at most so many pictures are compared with one another, and 256 MB of pixels"
    )
