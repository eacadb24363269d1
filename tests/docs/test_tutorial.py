"""The tutorial's commands, line by line, in an empty folder and without a network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port
from repository import ROOT

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1200)]

PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "8080"
LIMIT = 1100  # seconds, for a machine that is busy and compiles the kernels first


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the commands of all blocks print, run in one shell as a reader would."""
    port = str(free_port())
    script = "\n".join(BLOCK.findall(PAGE.read_text(encoding="utf-8"))).replace(PORT, port)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LARDER_LOOKUP__PORT": port,
    }
    shell = subprocess.Popen(
        ["bash", "-e", "-c", script],
        cwd=tmp_path_factory.mktemp("shop"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = shell.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # the server, if a block failed before it was stopped
    assert shell.returncode == 0, text
    return text


def answers(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"items"')]


def test_every_row_is_counted_or_in_quarantine(output: str) -> None:
    assert re.search(r"^aggregate_hours +11 in +10 out +1 quarantined", output, re.MULTILINE)
    assert "quantity_not_positive" in output


def test_a_visitor_gets_a_personal_list(output: str) -> None:
    personal, _ = answers(output)
    assert len(personal["items"]) == 3
    assert {item["route"] for item in personal["items"]} == {"personal"}
    assert [item["id"] for item in personal["items"]][2] == "lemon"  # bought by bob, who bought tea and honey too


def test_somebody_new_gets_what_sells_there(output: str) -> None:
    _, generic = answers(output)
    assert {item["route"] for item in generic["items"]} == {"generic"}
    assert {item["id"] for item in generic["items"][:2]} == {"coffee", "milk"}
