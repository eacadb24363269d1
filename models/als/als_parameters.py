"""The parameters of alternating least squares on implicit feedback, for Larder's own engine and for MLlib's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AlsParameters:
    """Parameters of one training.

    rank: floats a vector. alpha: a strength r has a confidence of 1 + alpha r (Hu, Koren, Volinsky 2008). scaling: a
    user or item with n interactions is regularised by regularisation * n^scaling (Rendle, Krichene, Zhang, Koren,
    Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022); MLlib's scaling is always 1.
    blocks: tasks that share each pass over the interactions. The rest is for Larder's own engine: steps of conjugate
    gradients a user and an item in each iteration, and how many interactions a block of users has.
    """

    rank: int
    iterations: int
    regularisation: float
    alpha: float
    seed: int
    blocks: int
    scaling: float = 1.0
    user_steps: int = 3
    item_steps: int = 2
    interactions_per_block: int = 500_000
