"""The section `[als]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from larder.settings.section import Section


class AlsSettings(Section):
    """Implicit-feedback alternating least squares (Hu, Koren, Volinsky 2008)."""

    engine: Literal["larder", "mllib"] = Field("larder", description="mllib: Spark's own, far slower, to compare with")
    rank: int = Field(64, ge=1)
    iterations: int = Field(10, ge=1)
    regularisation: float = Field(0.1, ge=0)
    scaling: float = Field(
        1.0, ge=0, le=2, description="the regularisation grows with interactions to this power; 0: the same for all"
    )
    alpha: float = Field(1.0, gt=0)
    seed: int = 42
    blocks: int = Field(4, ge=1, description="tasks that share each pass over users: the parallelism of the training")
    interactions_per_block: int = Field(500_000, ge=1, description="interactions that a task holds at a time")
    user_steps: int = Field(3, ge=1, description="steps of conjugate gradients a user in each iteration")
    item_steps: int = Field(2, ge=1, description="likewise an item; each is a pass over all interactions")
