"""The one JSON line with which every bench ends."""

from __future__ import annotations

import json
from typing import Any


def outcome(bench: str, unit: str, ours: float, peers: dict[str, float], **more: Any) -> str:
    """Returns the line. All figures are rates, so more is better; `ratios` are ours divided by each peer's."""
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
