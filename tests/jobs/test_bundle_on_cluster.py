"""Jobs by spark-submit on a cluster whose machines have Larder's requirements, and Larder only in a bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pyspark
import pytest
from last_build import BASE, KEPT, START, copy_release
from repository import ROOT
from spark_cluster import Cluster, spark_cluster

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

PATIENCE = 500
SPARK_HOME = Path(pyspark.__file__).parent
# Where each of the tasks, on both executors, finds Larder; null where it finds none.
WHERE_IS_LARDER = """
import importlib.util, json
from pyspark import SparkContext

def where(_):
    found = importlib.util.find_spec("larder")
    return found and found.origin

with SparkContext() as context:
    print(json.dumps({"found": sorted(set(context.parallelize(range(8), 8).map(where).collect()), key=str)}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the packages of this one, but not what is installed as a link to this source."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    # A folder named in such a file has its own such files ignored: the link is one of them.
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def bare_cluster(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with spark_cluster(tmp_path_factory.mktemp("cluster"), python=python) as started:
        yield started


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundle") / "larder.zip"
    subprocess.run([sys.executable, "-m", "larder", "bundle", "--to", str(target)], check=True, cwd=ROOT)
    return target


def submit(cluster: Cluster, folder: Path, bundle: Path | None, script: Path, *arguments: str) -> str:
    """Runs spark-submit as an operator does; returns what the script printed."""
    files = ["--py-files", str(bundle)] if bundle else []
    options = {
        **cluster.spark_settings()["options"],
        "spark.pyspark.python": str(cluster.python),
        "spark.pyspark.driver.python": sys.executable,
    }
    confs = [word for name, value in options.items() for word in ("--conf", f"{name}={value}")]
    command = [
        str(SPARK_HOME / "bin" / "spark-submit"),
        "--master",
        cluster.url,
        "--driver-memory",
        "1g",
        *files,
        *confs,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "PYTHONPATH"))}
    environment |= {"SPARK_HOME": str(SPARK_HOME), "LARDER_LOG": "json"}
    done = subprocess.run(
        [*command, str(script), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def found_by_executors(cluster: Cluster, folder: Path, bundle: Path | None) -> list[str | None]:
    script = folder / "where_is_larder.py"
    script.write_text(WHERE_IS_LARDER)
    output = submit(cluster, folder, bundle, script)
    [line] = [line for line in output.splitlines() if line.startswith('{"found"')]
    found: list[str | None] = json.loads(line)["found"]
    return found


def test_executors_have_larder_from_the_bundle_alone(bare_cluster: Cluster, bundle: Path, tmp_path: Path) -> None:
    assert found_by_executors(bare_cluster, tmp_path, None) == [None]

    with_bundle = found_by_executors(bare_cluster, tmp_path, bundle)

    assert with_bundle and all(where and "larder.zip" in where for where in with_bundle)


def test_jobs_run_with_the_bundle(bare_cluster: Cluster, bundle: Path, tmp_path: Path) -> None:
    settings = copy_release(tmp_path, tables=False)
    made, kept = tmp_path / "tables", KEPT / "release" / "tables"
    for rolled_up in ("interactions", "contexts"):
        shutil.copytree(kept / rolled_up, made / rolled_up)
    steps = (
        ("aggregate_hours", "--start", START, "--end", BASE),
        ("train_als", "--as-of", BASE),
        ("precompute", "--as-of", BASE),
    )

    for name, *arguments in steps:
        submit(bare_cluster, tmp_path, bundle, ROOT / "jobs" / f"{name}.py", "--settings", str(settings), *arguments)

    for manifest in kept.glob("hourly_counts/manifests/*/hr=0[0-2].json"):
        of_kept, of_made = (
            pq.read_table(root / "hourly_counts" / "runs" / json.loads(path.read_text())["run"] / "part-00000.parquet")
            for root, path in ((kept, manifest), (made, made / manifest.relative_to(kept)))
        )
        assert of_made.equals(of_kept), manifest
    release = json.loads((made / "release" / "manifests" / f"as_of={BASE}.json").read_text())
    expected = json.loads((kept / "release" / "manifests" / f"as_of={BASE}.json").read_text())
    lists = ("release_cookies", "release_contexts", "release_dictionary")
    assert {name: release["counts"][name] for name in lists} == {name: expected["counts"][name] for name in lists}
