"""What a job says on standard error that is no error: one line each."""

from __future__ import annotations

import sys


def tell(message: str) -> None:
    """Prints the message as one line on standard error."""
    print(f"larder: {message}", file=sys.stderr, flush=True)
