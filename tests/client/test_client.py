"""The client: typed answers from the endpoint, and its fallback in time where there are none."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lookup_servers import Endpoint, RedisServer

from larder.client import AsyncLookupClient, BadQuestionError, Item, LookupClient, Question

pytestmark = pytest.mark.end_to_end

DEADLINE = 0.2
FALLBACK = ("p1", "f1", "f2", "f3")
BASKET = Question(products=["p1"], exclude=["f2"], n=2)


def test_answers_are_typed(endpoint: Endpoint) -> None:
    with LookupClient(endpoint.url, deadline=5) as client:
        answer = client.recommend(Question(cookie="c1", n=2), request_id="page-7")
        assert [(item.id, item.route) for item in answer.items] == [("p3", "personal"), ("p8", "personal")]
        assert (answer.request_id, answer.release, answer.problem) == ("page-7-0", "r1", "")
        assert answer.items[0].score == pytest.approx(1)
        several = client.recommend_all([Question(cookie) for cookie in ("c1", "nobody")])
        assert [each.items[0].route for each in several] == ["personal", "generic"]


def test_asyncio(endpoint: Endpoint) -> None:
    async def ask() -> None:
        async with AsyncLookupClient(endpoint.url, deadline=5) as client:
            answers = await asyncio.gather(*(client.recommend(Question("c1", n=1)) for _ in range(20)))
        assert {answer.items for answer in answers} == {answers[0].items}

    asyncio.run(ask())


def test_a_mistake_is_told(endpoint: Endpoint) -> None:
    with LookupClient(endpoint.url, deadline=5) as client, pytest.raises(BadQuestionError, match="n must be"):
        client.recommend(Question("c1", n=0))


@contextmanager
def answering_with(data: bytes) -> Iterator[str]:
    """A server that sends some bytes of an answer and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    connection.sendall(data)
                    held.append(connection)
            except OSError:
                pass

        held: list[socket.socket] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"responses":[]}',
        b"nonsense\r\n\r\n",
    ],
)
def test_whatever_the_endpoint_does_the_fallback_comes_in_time(data: bytes) -> None:
    with answering_with(data) as url, LookupClient(url, deadline=DEADLINE, fallback=FALLBACK) as client:
        answer = client.recommend(BASKET)
    assert answer.items == (Item("f1", None, "fallback"), Item("f3", None, "fallback"))
    assert answer.problem


def test_an_endpoint_that_is_stopped_costs_the_deadline(
    redis_server: RedisServer, own_endpoint: Callable[..., Endpoint]
) -> None:
    served = own_endpoint(redis_server.url)
    served.wait_ready("r1")
    with LookupClient(served.url, deadline=DEADLINE, fallback=FALLBACK) as client:
        assert client.recommend(Question("c1")).problem in ("", f"no answer within {DEADLINE:g} s")
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        # The endpoint would answer only after it is continued.
        assert client.recommend(BASKET).problem == f"no answer within {DEADLINE:g} s"
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def test_an_endpoint_that_is_not_there() -> None:
    with LookupClient("http://127.0.0.1:1", deadline=DEADLINE, fallback=FALLBACK) as client:
        assert client.recommend(BASKET).items[0].id == "f1"


@pytest.mark.parametrize(
    "url", ["http://[", "nonsense://127.0.0.1:1", "http://127.0.0.1:99999", "http://127.0.0.1:1\x00", ""]
)
def test_an_address_that_cannot_be_used_gives_the_fallback(url: str) -> None:
    with LookupClient(url, deadline=5, fallback=FALLBACK) as client:
        assert client.recommend(BASKET).problem


def test_a_closed_client_gives_the_fallback(endpoint: Endpoint) -> None:
    client = LookupClient(endpoint.url, fallback=FALLBACK)
    client.close()
    client.close()
    assert [item.id for item in client.recommend(BASKET).items] == ["f1", "f3"]


def test_a_loop_that_is_held_up_gives_the_fallback(endpoint: Endpoint) -> None:
    """The thread that enforces the deadline may itself be too late, in a process that is short of time."""
    released = threading.Event()
    client = LookupClient(endpoint.url, deadline=0.01, fallback=FALLBACK)
    client._loop.call_soon_threadsafe(released.wait, 20)
    answer = client.recommend(BASKET)
    released.set()
    assert (answer.problem, [item.id for item in answer.items]) == ("no answer within 0.01 s", ["f1", "f3"])
    client.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_asks_by_itself(endpoint: Endpoint) -> None:
    with LookupClient(endpoint.url, deadline=5, fallback=FALLBACK) as client:
        assert client.recommend(Question("c1", n=1)).items[0].id == "p3"
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            answer = client.recommend(Question("c1", n=1))
            os.write(writer, f"{answer.items[0].id} {answer.problem}".encode())
            client.close()
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            assert pipe.read() == "p3 "
        assert os.waitpid(child, 0)[1] == 0
        # The parent's own connections are as they were.
        assert client.recommend(Question("c1", n=1)).problem == ""


def test_one_client_in_several_event_loops(endpoint: Endpoint) -> None:
    client = AsyncLookupClient(endpoint.url, deadline=5, fallback=FALLBACK)
    for _ in range(2):
        assert asyncio.run(client.recommend(Question("c1", n=1))).problem == ""
