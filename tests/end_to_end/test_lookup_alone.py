"""The web tier's install: only the `lookup` extra, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("pyspark", "tensorflow", "pyarrow", "pandas", "elephas", "airflow")
CHECK = f"""
import importlib.util, sys
import lookup, lookup.app, lookup.serve
present = [name for name in {FORBIDDEN!r} if importlib.util.find_spec(name) or name in sys.modules]
assert not present, present
"""


def test_lookup_installs_and_imports_without_spark_and_tensorflow(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*install, "--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[lookup]"], check=True, cwd=tmp_path
    )

    subprocess.run([python, "-c", CHECK], check=True, cwd=tmp_path)

    helped = subprocess.run([tmp_path / "venv" / "bin" / "larder", "serve", "--help"], capture_output=True, text=True)
    assert "Answer over HTTP" in helped.stdout
