"""Passwords that expire: a file or a command that gives the current one. Standard library only."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

PASSWORD_SECONDS = 30.0


class PasswordError(RuntimeError):
    """`redis.password_file` or `redis.password_command` gives no password; the message never shows one."""


@dataclass(frozen=True)
class PasswordSource:
    """Where the password comes from: the file's contents, or what the command line prints. At most one is set."""

    file: str = ""
    command: str = ""

    def __bool__(self) -> bool:
        """Whether one is set."""
        return bool(self.file or self.command)

    def password(self) -> str:
        """Returns the current password, without the line's end. Raises PasswordError."""
        if self.file:
            text, where = self._read(), "redis.password_file is empty"
        else:
            text, where = self._printed(), "redis.password_command printed nothing"
        if not (password := text.strip("\r\n")):
            raise PasswordError(f"{where}; it must give the password and nothing else")
        return password

    def _read(self) -> str:
        try:
            return Path(self.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise PasswordError(f"redis.password_file {self.file} can't be read: {reason}") from None

    def _printed(self) -> str:
        try:
            done = subprocess.run(shlex.split(self.command), capture_output=True, text=True, timeout=PASSWORD_SECONDS)
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise PasswordError(f"redis.password_command can't be run: {reason}") from None
        if done.returncode:
            raise PasswordError(
                f"redis.password_command ended with exit code {done.returncode}; run it by hand to see why"
            )
        return done.stdout


NO_SOURCE = PasswordSource()
