"""The logging configuration of the endpoint: text lines or JSON lines on stderr."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

# OpenTelemetry would otherwise log an unreachable collector with every batch of spans.
REPEAT_SECONDS = 60.0

FORMATTERS: dict[str, dict[str, Any]] = {
    "text": {"format": "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"},
    "json": {"()": "larder.lookup.operations.logs.JsonLines"},
}


class JsonLines(logging.Formatter):
    """Formats a record as one line of ASCII JSON: ts (UTC), level, logger, pid, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


class RateLimitFilter(logging.Filter):
    """Drops a message if the same logger logged the same format string within the last REPEAT_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        what = record.name, str(record.msg)
        if record.created - self._said.get(what, 0.0) < REPEAT_SECONDS:
            return False
        self._said[what] = record.created
        return True


def logging_config(log_format: str) -> dict[str, Any]:
    """Returns the argument for logging.config.dictConfig; `log_format` is text or json, for all loggers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": FORMATTERS[log_format]},
        "filters": {"rate_limited": {"()": "larder.lookup.operations.logs.RateLimitFilter"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
            "rate_limited": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["rate_limited"]},
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "larder": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "opentelemetry": {"handlers": ["rate_limited"], "level": "WARNING", "propagate": False},
            # It would log a malformed header in full, and the header may hold a key.
            "opentelemetry.util.re": {"level": "CRITICAL"},
        },
    }
