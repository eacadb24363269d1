"""An images table of pictures that are easily told apart, and settings to train on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from written_tables import write_table

from bench.larder_jobs import write_settings
from larder.models.tables import IMAGES
from larder.storage import Manifest, Tables
from larder.storage.manifests import plan_run

SIZE = 16
COLOURS = {"A/RED": (200, 40, 40), "A/GREEN": (40, 200, 40), "B/BLUE": (40, 40, 200)}
TRAINING = {"image_size": SIZE, "embedding": 8, "workers": 2}


def write_pictures(tables: Path, count: int) -> Manifest:
    draw = np.random.default_rng(7)
    rows = []
    for number in range(count):
        category = list(COLOURS)[number % len(COLOURS)]
        pixels = np.clip(np.array(COLOURS[category]) + draw.normal(0, 60, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        values = {"product_id": f"p{number}", "category": category, "pixels": pixels.tobytes(), "held_out": False}
        rows.append(tuple(values.get(name) for name in IMAGES.schema.fieldNames()))
    planned = plan_run("images", "catalogue", {}, {"image_size": SIZE, "count": count})
    return write_table(Tables(str(tables)), planned, IMAGES.schema, rows)


def training_settings(file: Path, tables: Path, spark: Mapping[str, Any], **vision: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return write_settings(file, storage={"tables": tables}, vision={**TRAINING, **vision}, spark=dict(spark))
