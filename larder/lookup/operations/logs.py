"""The endpoint's log on stderr: lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

# What OpenTelemetry says of a collector that is down would otherwise come with every batch of spans.
REPEAT_SECONDS = 60.0

FORMATTERS: dict[str, dict[str, Any]] = {
    "text": {"format": "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"},
    "json": {"()": "larder.lookup.operations.logs.JsonLines"},
}


class JsonLines(logging.Formatter):
    """A record as a JSON object in ASCII without line breaks: ts (UTC), level, logger, pid, message, exception."""

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
    """Lets a logger say the same thing, whatever its particulars, once in REPEAT_SECONDS."""

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
    """For logging.config.dictConfig; `log_format` is text or json, for our loggers and everybody else's."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": FORMATTERS[log_format]},
        "filters": {"seldom": {"()": "larder.lookup.operations.logs.Seldom"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
            "seldom": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["seldom"]},
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "larder": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "opentelemetry": {"handlers": ["seldom"], "level": "WARNING", "propagate": False},
            # Of a header that makes no sense it would quote all, and that may be a key.
            "opentelemetry.util.re": {"level": "CRITICAL"},
        },
    }
