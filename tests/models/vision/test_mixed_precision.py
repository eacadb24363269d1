"""A model's description in another precision."""

from __future__ import annotations

import json

from larder.models.vision.mixed_precision import FULL, in_precision


def layer(name: str, dtype: object) -> dict[str, object]:
    return {"class_name": "Any", "config": {"name": name, "dtype": dtype}}


def policy(name: str) -> dict[str, object]:
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}}


def model(dtype: str) -> str:
    inner = {"class_name": "Functional", "config": {"name": "inner", "layers": [layer("deep", policy(dtype))]}}
    kept = [layer("pixels", "uint8"), layer("shares", policy(FULL)), layer("labels", policy(FULL))]
    layers = [*kept, layer("convolved_0", policy(dtype)), inner]
    return json.dumps({"class_name": "Functional", "config": {"name": "vision", "layers": layers}})


def test_all_layers_but_those_before_and_behind_the_network_change() -> None:
    assert json.loads(in_precision(model(FULL), "mixed_bfloat16")) == json.loads(model("mixed_bfloat16"))


def test_full_precision_is_the_description_itself() -> None:
    assert in_precision(model(FULL), FULL) == model(FULL)
