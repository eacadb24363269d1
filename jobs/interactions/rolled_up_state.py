"""What a rolled-up state, a partition of `interactions` or `contexts`, says of itself."""

from __future__ import annotations

from larder.models.interactions.decay import Decay
from larder.storage import Manifest


def decay_of(manifest: Manifest) -> Decay:
    """Returns the decay that the sums of a state are relative to."""
    return Decay(manifest.parameters["half_life"], manifest.parameters["landmark"])
