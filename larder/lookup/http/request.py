"""A request as it was read, and the interfaces of what answers it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Protocol, final

from larder.lookup.http.http_errors import BadRequestError


class Application(Protocol):
    """What answers requests."""

    def take(self, request: Request) -> None:
        """Calls `request.respond` exactly once, now or later. Raises nothing."""

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        """Raises BadRequestError if the request will be refused whatever its body holds."""


class Responder:
    """What carries an answer back to the caller. A class and not a protocol, so that compiled calls stay fast."""

    def respond(self, request: Request, status: int, headers: bytes, body: bytes) -> None:
        """Sends the answer to `request`; see Request.respond."""
        raise NotImplementedError


@final
class Request:
    """One HTTP request. If it cannot be answered, `problem` says why, and the other parts hold what was read so far."""

    def __init__(
        self,
        responder: Responder,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        last: bool,
        problem: BadRequestError | None,
    ) -> None:
        """Header names are in lower case. `last` is true if the connection ends after the answer."""
        self._responder = responder
        # The clock starts here, before the request waits for earlier ones of its connection.
        self.arrived = perf_counter()
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.last = last
        self.problem = problem

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Answers. `headers` are whole lines without Content-Length, Date and Connection, which are added."""
        self._responder.respond(self, status, headers, body)
