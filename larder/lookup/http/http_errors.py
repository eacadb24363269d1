"""Requests that get no answer, and what their callers are told."""

from __future__ import annotations


class BadRequestError(ValueError):
    """The request cannot be answered: HTTP status, stable code, and a message for the caller's author.

    `retry_after` in whole seconds, where the same request may do better later; else 0.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
