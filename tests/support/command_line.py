"""`larder VERB` in this process: starting an interpreter for each would take most of a test's time."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NoReturn
from unittest.mock import patch

from larder.cli.main import main


def run_larder(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line with these arguments; returns its exit status and what it printed, as subprocess.run does.

    Raises what a process of its own would show as a traceback. Not for jobs that use Spark: at its end a job would stop
    the tests' own session.
    """
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["larder", *arguments]),
        patch("larder.jobs.runtime.session.start_session", _refuse),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def _refuse(*_: object) -> NoReturn:
    raise AssertionError("a job in this process must be given the fixture `spark`")
