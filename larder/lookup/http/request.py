"""A request as it was read, and what answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, final

from larder.lookup.http.http_errors import BadRequestError

if TYPE_CHECKING:
    from larder.lookup.http.http_connection import HttpConnection


class Application(Protocol):
    """What answers."""

    def take(self, request: Request) -> None:
        """Sees to it that `request.respond` is called, once, now or later. Raises nothing."""

    def admit_body(self, path: str, headers: Mapping[str, str]) -> None:
        """Raises BadRequestError where nobody needs to wait for the body."""


@final
class Request:
    """One request. Where it cannot be answered, `problem` is why; its other parts are then as far as they were read."""

    def __init__(
        self,
        connection: HttpConnection,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        last: bool,
        problem: BadRequestError | None,
    ) -> None:
        """Names of `headers` are in lower case; after the `last` one of a connection comes no other."""
        self._connection = connection
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.last = last
        self.problem = problem

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Answers. `headers` are whole lines; Content-Length, Date and Connection come by themselves."""
        self._connection.respond(self, status, headers, body)
