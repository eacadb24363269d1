"""Readers that ask all the time, and note every answer that is not wholly of one release."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from larder.loaders.codec import bucket_and_field, decode_list
from larder.loaders.keys import COOKIES, DELTA_FORMAT, Keys
from larder.loaders.servers import connect


def read_list(client: Any, release: str, key: int) -> list[int]:
    """A cookie's list in a release, by the contract and nothing else."""
    keys = Keys("larder")
    meta = json.loads(client.get(keys.meta(release)))
    record = None
    for layer in [meta, meta["base"]] if meta["format"] == DELTA_FORMAT else [meta]:
        bucket, field = bucket_and_field(key, layer["buckets"][COOKIES])
        record = record or client.hget(keys.bucket(layer["release"], COOKIES, bucket), field)
    return decode_list(record)[0]


class Readers:
    """Threads that look up the live release and one cookie after the other, inside a `with`.

    expected: release -> cookie key -> ordinals. `answers` counts, `wrong` says what was wrong, a line each.
    """

    def __init__(
        self, url: str, expected: dict[str, dict[int, list[int]]], threads: int = 4, pause: float = 0.0
    ) -> None:
        self.url, self.expected, self.pause = url, expected, pause
        self.answers, self.wrong, self.seen = 0, [], set()  # type: ignore[var-annotated]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _read(self, offset: int) -> None:
        client: Any = connect(self.url)
        cookies = list(next(iter(self.expected.values())))[offset:] * 1000
        for key in cookies:
            if self._ended.is_set():
                break
            try:
                live = client.hget(Keys("larder").live, "release").decode()
                found, right = read_list(client, live, key), self.expected[live][key]
            except Exception as error:
                self.wrong.append(repr(error))
                continue
            self.answers += 1
            time.sleep(self.pause)
            self.seen.add(live)
            if found != right:
                self.wrong.append(f"{live}: {key:x}: {found}")
        client.close()
