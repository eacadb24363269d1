"""The error that refuses a request."""

from __future__ import annotations


class BadRequestError(ValueError):
    """A refused request: HTTP status, stable error code, and a message for developers.

    `retry_after` is the seconds to wait before trying again, or 0 if waiting does not help.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
