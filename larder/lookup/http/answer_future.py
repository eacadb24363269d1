"""Takes the answer to one request as a future, for callers that are coroutines.

A module of its own, because it is compiled like its base class; a class that is not compiled could not extend that one.
"""

from __future__ import annotations

import asyncio
from typing import final

from larder.lookup.http.request import Request, Responder


@final
class AnswerFuture(Responder):
    """`answer` gets status, header lines and body."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes, bytes]] = asyncio.get_running_loop().create_future()

    def respond(self, request: Request, status: int, headers: bytes, body: bytes) -> None:
        """See Responder."""
        if not self.answer.done():
            self.answer.set_result((status, headers, b"" if request.method == "HEAD" else body))
