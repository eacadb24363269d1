"""A proxy before Redis that is slow, silent or lies, as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


class FaultyRedis:
    """Listens on loopback and passes everything on to the server at `target`, with the fault that is set."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.delay = 0.0
        self.spoil: Callable[[bytes], bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            replies, commands = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass_on(reader, commands, False), self._pass_on(replies, writer, True))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, are_replies: bool) -> None:
        """Delays without holding up what comes later, as a slow line does."""
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                if are_replies and self.spoil is not None:
                    data = self.spoil(data)
                if are_replies and self.delay:
                    loop.call_later(self.delay, writer.write, data)
                else:
                    writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()
