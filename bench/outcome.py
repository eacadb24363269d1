"""The one JSON line that every bench prints last."""

from __future__ import annotations

import json
from typing import Any


def outcome(bench: str, unit: str, ours: float, peers: dict[str, float], **more: Any) -> str:
    """`ratios` says how many times better ours is; all figures are rates, so more is better."""
    return json.dumps(
        {
            "bench": bench,
            "unit": unit,
            "ours": round(ours),
            "peers": {name: round(figure) for name, figure in peers.items()},
            "ratios": {name: round(ours / figure, 3) for name, figure in peers.items()},
            **more,
        }
    )
