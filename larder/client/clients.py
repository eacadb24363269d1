"""The client, for asyncio and for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from larder.client.answers import Answer, BadQuestionError, Question, answer_from, fallback_answer

PATH = "/v1/recommendations"
# What only the caller can mend. All else may pass, and must not keep a page from being shown.
MISTAKES = (400, 401, 404, 405, 413)
# Between the deadline of a call and a thread's patience with the loop that keeps it.
GRACE_SECONDS = 1.0

Found = TypeVar("Found")


class AsyncLookupClient:
    """Asks the endpoint at `url`; where it does not answer within `deadline` seconds, `fallback` is the answer.

    Use it as an async context manager, or call `aclose`.
    """

    def __init__(self, url: str, api_key: str = "", deadline: float = 0.2, fallback: Sequence[str] = ()) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=None)
        self._deadline = deadline
        self._fallback = tuple(fallback)

    async def recommend(self, question: Question, request_id: str = "") -> Answer:
        """The answer to one question. Raises BadQuestionError, and nothing else."""
        return (await self.recommend_all([question], request_id))[0]

    async def recommend_all(self, questions: Sequence[Question], request_id: str = "") -> list[Answer]:
        """The answers to several questions in one call, in their order. Raises BadQuestionError, and nothing else."""
        try:
            found = await asyncio.wait_for(self._ask(questions, request_id), self._deadline)
        except asyncio.TimeoutError:
            found = f"no answer within {self._deadline:g} s"
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, BadQuestionError):
                raise
            found = repr(error)
        if isinstance(found, str):
            return [fallback_answer(question, self._fallback, found) for question in questions]
        return found

    async def _ask(self, questions: Sequence[Question], request_id: str) -> list[Answer] | str:
        """The answers, or why there are none."""
        body = {"requests": [question.as_json() for question in questions]}
        headers = {"X-Request-Id": request_id} if request_id else {}
        response = await self._http.post(f"{PATH}:batch", json=body, headers=headers)
        if response.status_code in MISTAKES:
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

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncLookupClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class LookupClient:
    """The same for threads; any number of them may share one. Use it as a context manager, or call `close`.

    Blocking sockets have no deadline for a call as a whole, so an event loop in a thread of its own keeps it.
    """

    def __init__(self, url: str, api_key: str = "", deadline: float = 0.2, fallback: Sequence[str] = ()) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lookup-client", daemon=True)
        self._thread.start()
        self._client = AsyncLookupClient(url, api_key, deadline, fallback)
        self._patience = deadline + GRACE_SECONDS

    def recommend(self, question: Question, request_id: str = "") -> Answer:
        """See AsyncLookupClient.recommend."""
        return self._wait(self._client.recommend(question, request_id))

    def recommend_all(self, questions: Sequence[Question], request_id: str = "") -> list[Answer]:
        """See AsyncLookupClient.recommend_all."""
        return self._wait(self._client.recommend_all(questions, request_id))

    def close(self) -> None:
        """Closes the connections and ends the thread."""
        self._wait(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, asked: Coroutine[Any, Any, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(self._patience)

    def __enter__(self) -> LookupClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
