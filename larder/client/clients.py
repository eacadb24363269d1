"""The client of the lookup endpoint, for asyncio and for threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import httpx

from larder.client.answers import Answer, BadQuestionError, Question, answer_from, fallback_answer

PATH = "/v1/recommendations"
# Statuses that only a change of the caller's code can mend. All others may pass, and must not keep a page from showing.
CALLER_ERRORS = (400, 401, 403, 404, 405, 413)
# How much longer than the deadline a thread waits for the event loop that enforces it.
GRACE_SECONDS = 1.0

Found = TypeVar("Found")


class AsyncLookupClient:
    """Asks the endpoint at `url`; if it does not answer within `deadline` seconds, `fallback` is the answer.

    Use it as an async context manager, or call `aclose`. It may be used in another event loop, or after a fork: then it
    opens new connections.
    """

    def __init__(self, url: str, api_key: str = "", deadline: float = 0.2, fallback: Sequence[str] = ()) -> None:
        self._url = url
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._deadline = deadline
        self._fallback = tuple(fallback)
        self._http: httpx.AsyncClient | None = None
        self._made_in: tuple[int, object] | None = None
        self._abandoned: list[httpx.AsyncClient | None] = []
        self._is_closed = False

    async def recommend(self, question: Question, request_id: str = "") -> Answer:
        """Returns the answer to one question. Raises BadQuestionError, and nothing else."""
        return (await self.recommend_all([question], request_id))[0]

    async def recommend_all(self, questions: Sequence[Question], request_id: str = "") -> list[Answer]:
        """Returns the answers to several questions in one call, in order. Raises BadQuestionError, and nothing else."""
        try:
            found = await asyncio.wait_for(self._ask(questions, request_id), self._deadline)
        except BadQuestionError:
            raise
        except asyncio.TimeoutError:
            found = late(self._deadline)
        except Exception as error:
            # Not only httpx.HTTPError: a URL, a proxy's answer or a closed client can lead to others.
            found = repr(error)
        if isinstance(found, str):
            return self.fallback(questions, found)
        return found

    def fallback(self, questions: Sequence[Question], problem: str) -> list[Answer]:
        """Returns the answers from the fallback; `problem` is why."""
        return [fallback_answer(question, self._fallback, problem) for question in questions]

    async def _ask(self, questions: Sequence[Question], request_id: str) -> list[Answer] | str:
        """Returns the answers, or why there are none."""
        body = {"requests": [question.as_json() for question in questions]}
        headers = {"X-Request-Id": request_id} if request_id else {}
        response = await self._client().post(f"{PATH}:batch", json=body, headers=headers)
        if response.status_code in CALLER_ERRORS:
            raise BadQuestionError(response.json()["error"]["message"])
        if response.status_code != 200:
            return f"status {response.status_code}"
        answers = response.json()["responses"]
        for answer in answers:
            if "error" in answer:
                raise BadQuestionError(answer["error"]["message"])
        if len(answers) != len(questions):
            return f"{len(answers)} answers to {len(questions)} questions"
        return [answer_from(answer["answer"]) for answer in answers]

    def _client(self) -> httpx.AsyncClient:
        """Returns the HTTP client of this process and event loop. Connections of another one cannot be used."""
        if self._is_closed:
            raise RuntimeError("the client is closed")
        here = os.getpid(), asyncio.get_running_loop()
        if self._http is None or self._made_in != here:
            # Not closed, because after a fork its connections are still used by the parent.
            self._abandoned.append(self._http)
            self._http = httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=None)
            self._made_in = here
        return self._http

    async def aclose(self) -> None:
        """Closes the connections."""
        self._is_closed = True
        if self._http is not None and self._made_in == (os.getpid(), asyncio.get_running_loop()):
            await self._http.aclose()

    async def __aenter__(self) -> AsyncLookupClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class LookupClient:
    """The same for threads; any number of them may share one. Use it as a context manager, or call `close`.

    Blocking sockets have no deadline for a call as a whole, so an event loop in a thread of its own enforces it. A
    forked process starts a thread of its own with its first call.
    """

    def __init__(self, url: str, api_key: str = "", deadline: float = 0.2, fallback: Sequence[str] = ()) -> None:
        self._client = AsyncLookupClient(url, api_key, deadline, fallback)
        self._deadline = deadline
        self._is_closed = False
        self._start()

    def recommend(self, question: Question, request_id: str = "") -> Answer:
        """See AsyncLookupClient.recommend."""
        return self.recommend_all([question], request_id)[0]

    def recommend_all(self, questions: Sequence[Question], request_id: str = "") -> list[Answer]:
        """See AsyncLookupClient.recommend_all."""
        try:
            return self._wait(self._client.recommend_all(questions, request_id))
        except BadQuestionError:
            raise
        except FutureTimeoutError:
            return self._client.fallback(questions, late(self._deadline))
        except Exception as error:
            return self._client.fallback(questions, repr(error))

    def close(self) -> None:
        """Closes the connections and ends the thread. Later calls are answered from the fallback."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._process != os.getpid():
            return
        # The thread ends in any case, and its connections with it.
        with suppress(Exception):
            self._wait(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GRACE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _start(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lookup-client", daemon=True)
        self._thread.start()

    def _wait(self, asked: Coroutine[Any, Any, Found]) -> Found:
        if self._process != os.getpid():
            self._start_after_fork()
        try:
            running = asyncio.run_coroutine_threadsafe(asked, self._loop)
        except RuntimeError:
            asked.close()
            raise
        try:
            return running.result(self._deadline + GRACE_SECONDS)
        except FutureTimeoutError:
            running.cancel()
            raise

    def _start_after_fork(self) -> None:
        """Starts a loop in this process: a fork copies no threads, and maybe a lock that nobody gives back."""
        with _fork_lock:
            if self._process != os.getpid():
                self._start()

    def __enter__(self) -> LookupClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_fork_lock = threading.Lock()


def _renew_fork_lock() -> None:
    """Replaces the lock, which another thread may have held when this process was forked."""
    global _fork_lock
    _fork_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_fork_lock)


def late(deadline: float) -> str:
    """Returns the problem of an answer that did not come in time."""
    return f"no answer within {deadline:g} s"
