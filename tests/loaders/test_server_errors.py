"""What stopped a load is told for what it is: Redis for Redis, a store of tables for a store of tables."""

from __future__ import annotations

import pytest
import redis

from larder.loaders.server_errors import NOT_REACHED, UNTOUCHED, explained


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (redis.ConnectionError("refused"), f"{NOT_REACHED}; {UNTOUCHED} (refused)"),
        (ConnectionResetError("reset"), f"{NOT_REACHED}; {UNTOUCHED} (reset)"),
        (OSError("AWS Error NETWORK_CONNECTION"), f"AWS Error NETWORK_CONNECTION; {UNTOUCHED}"),
        (redis.ResponseError("SOMETHING else"), f"SOMETHING else; {UNTOUCHED}"),
    ],
)
def test_an_error_names_what_failed(error: Exception, told: str) -> None:
    assert explained(error) == told
