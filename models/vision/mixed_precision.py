"""Sets the floating-point precision in a model's JSON description, for training on other hardware."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

FULL = "float32"
POLICY = "DTypePolicy"
# Layers that stay in full precision: they prepare pictures, or compute embeddings and losses.
PREPARED = {"pixels", "scaled", "moved", "relit", "bytes", "shares", "standard", "palette"}
KEPT = PREPARED | {"directions", "embedding", "paired", "sharpened", "labels"}


def in_precision(model_json: str, policy: str) -> str:
    """Returns the description with `policy` (such as `mixed_bfloat16`) in every layer but KEPT; it has no weights."""
    if policy == FULL:
        return model_json
    model = json.loads(model_json)
    for layer in _layers(model):
        dtype = layer["config"].get("dtype")
        if isinstance(dtype, dict) and dtype.get("class_name") == POLICY and layer["config"].get("name") not in KEPT:
            dtype["config"]["name"] = policy
    return json.dumps(model)


def _layers(value: Any) -> Iterator[dict[str, Any]]:
    """Every layer of the description, including those of a model inside the model."""
    if isinstance(value, dict):
        if isinstance(value.get("config"), dict) and "layers" not in value["config"]:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _layers(each)
