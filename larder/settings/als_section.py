"""The section `[als]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from larder.settings.section import Section


class AlsSettings(Section):
    """Implicit-feedback alternating least squares (Hu, Koren, Volinsky 2008)."""

    engine: Literal["larder", "mllib"] = Field(
        "larder", description="Implementation of ALS. mllib is Spark's own: far slower, kept for comparison."
    )
    rank: int = Field(64, ge=1, description="Factors per user and item: the length of their vectors.")
    iterations: int = Field(10, ge=1, description="Passes of the training over all users and all items.")
    regularisation: float = Field(
        0.1, ge=0, description="Strength of the L2 regularisation: lambda of Hu, Koren and Volinsky."
    )
    scaling: float = Field(
        1.0,
        ge=0,
        le=2,
        description="Power of a user's or item's number of interactions that multiplies the regularisation. 1: as in "
        "Spark's MLlib; 0: the same regularisation for all.",
    )
    alpha: float = Field(
        1.0, gt=0, description="Growth of confidence with strength: confidence = 1 + alpha x strength."
    )
    seed: int = Field(42, description="Seed of the initial factors.")
    blocks: int = Field(
        4, ge=1, description="Tasks that share each pass over the users, and so the parallelism of the training."
    )
    interactions_per_block: int = Field(
        500_000, ge=1, description="Interactions that one task holds in memory at a time."
    )
    user_steps: int = Field(3, ge=1, description="Conjugate-gradient steps for each user in each iteration.")
    item_steps: int = Field(
        2,
        ge=1,
        description="Conjugate-gradient steps for each item in each iteration. Each step is a pass over all "
        "interactions.",
    )
