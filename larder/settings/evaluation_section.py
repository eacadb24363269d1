"""The section `[evaluation]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class EvaluationSettings(Section):
    """How lists are measured, and when the gate lets a release through."""

    users: int = Field(20_000, ge=1, description="Users that are measured; of more, a sample by a hash of their id.")
    least_ratio_to_popularity: float = Field(
        0.0,
        ge=0,
        description="Gate: NDCG@10 of personal lists on new products must be at least this many times that of "
        "popularity, or nothing is published. 0: everything passes.",
    )
    cold_products: int = Field(
        20,
        ge=1,
        description="Products that a user must have bought to be warm. Cold and warm users are reported apart.",
    )
    diversities: list[float] = Field(
        default_factory=list, description="Values of lists.diversity to measure beside the one in force."
    )
    peers: bool = Field(
        False,
        description="Whether models of the package implicit are measured too, if it is installed. Meant for a few "
        "thousand users.",
    )
    bootstrap: int = Field(
        200, ge=0, description="Bootstrap resamples of the users for 95% confidence intervals. 0: no intervals."
    )
    seed: int = Field(42, description="Seed of the bootstrap resamples.")
    pictures: int = Field(
        10_000,
        ge=2,
        description="Pictures that are compared with one another; fewer if their pixels would take more than 256 MB.",
    )
