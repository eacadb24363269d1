"""Redis commands as RESP bytes."""

from __future__ import annotations

from typing import Final, final

from librt.strings import BytesWriter

from larder.loaders.codec import field_width
from larder.loaders.keys import Keys
from larder.lookup.number_formatting import hex_digits, write_hex

KEY_DIGITS: Final = 16
HALF_KEY: Final = (1 << 32) - 1


def command(*words: bytes) -> bytes:
    """Returns one command from its words."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


@final
class BucketCommands:
    """Writes HGET commands for records of one kind: `codec.bucket_and_field` with the constant parts prepared."""

    def __init__(self, keys: Keys, release: str, kind: str, count: int) -> None:
        """`count` is the number of buckets."""
        self._count = count
        self._width = field_width(count)
        self._prefix = keys.bucket(release, kind, 0)[:-1]
        # The bytes before the bucket's number, by its number of digits.
        self._heads = [
            b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b" % (len(self._prefix) + digits, self._prefix)
            for digits in range(hex_digits(count) + 1)
        ]
        self._before_field = b"\r\n$%d\r\n" % self._width

    def place(self, key: int) -> tuple[bytes, bytes]:
        """Returns the Redis key and the field of the record of a 64-bit key."""
        quotient, bucket = divmod(key, self._count)
        return b"%b%x" % (self._prefix, bucket), quotient.to_bytes(self._width, "big")

    def write_hget(self, out: BytesWriter, key: int) -> None:
        """Writes the HGET command for the record of a 64-bit key."""
        quotient, bucket = divmod(key, self._count)
        digits = hex_digits(bucket)
        out.write(self._heads[digits])
        write_hex(out, bucket, digits)
        out.write(self._before_field)
        out.write(quotient.to_bytes(self._width, "big"))
        out.write(b"\r\n")


@final
class SeenCommands:
    """Writes the commands that read the products which one visitor must not be shown."""

    def __init__(self, keys: Keys, most: int) -> None:
        """Reads about `most` members at a time, so that a huge set does not hold up other visitors."""
        self._name = keys.seen(0)
        head = b"$%d\r\n%b" % (len(self._name), self._name[:-KEY_DIGITS])
        digits = b"%d" % most
        self._head = b"*5\r\n$5\r\nSSCAN\r\n" + head
        self._tail = b"\r\n$1\r\n0\r\n$5\r\nCOUNT\r\n$%d\r\n%b\r\n" % (len(digits), digits)

    def read_whole(self) -> None:
        """Reads whole sets from now on, for users of Redis that may not use SSCAN."""
        self._head = b"*2\r\n$8\r\nSMEMBERS\r\n$%d\r\n%b" % (len(self._name), self._name[:-KEY_DIGITS])
        self._tail = b"\r\n"

    def write(self, out: BytesWriter, key: int) -> None:
        """Writes the command for the 64-bit key of a cookie."""
        out.write(self._head)
        # In two halves, because an unsigned 64-bit key may not fit into a signed 64-bit integer.
        write_hex(out, key >> 32, KEY_DIGITS // 2)
        write_hex(out, key & HALF_KEY, KEY_DIGITS // 2)
        out.write(self._tail)
