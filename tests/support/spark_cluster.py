"""A Spark standalone cluster on loopback: a master and workers in processes of their own, which can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyspark
from ports import HOST, free_port
from repository import ROOT

WORKERS = 2
WORKER_MEMORY = "1g"
PATIENCE, POLL_SECONDS = 90.0, 0.1
SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"


class Cluster:
    """One core a worker. Jobs need `spark_settings()` as their [spark] section.

    With `gpus`, a worker says that it has one, whose address is its own number: `gpu_address`. Executors run `python`
    and nothing tells them where Larder is; without it they run the tests' own interpreter and find this source.
    """

    def __init__(self, folder: Path, gpus: bool = False, python: Path | None = None) -> None:
        self.folder, self.gpus, self.python = folder, gpus, python
        self.port, self.page = free_port(), free_port()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.started = 0
        self.master = self._start(
            "master", "master.Master", "--host", HOST, "--port", str(self.port), "--webui-port", str(self.page)
        )

    @property
    def url(self) -> str:
        return f"spark://{HOST}:{self.port}"

    def spark_settings(self) -> dict[str, Any]:
        """The [spark] section of a job that runs here, one executor a worker."""
        options = {
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.executor.cores": "1",
            "spark.executor.memory": WORKER_MEMORY,
        }
        if self.python is None:
            options["spark.executorEnv.PYTHONPATH"] = str(ROOT)
        return {"master": self.url, "driver_memory": "1g", "shuffle_partitions": 4, "options": options}

    def complete(self) -> None:
        """Starts workers until there are two, and waits until the master knows them."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < WORKERS:
            self.started += 1
            place = ["--webui-port", "0", "--work-dir", str(self.folder / "work")]
            size = ["--cores", "1", "--memory", WORKER_MEMORY]
            gpu = self._gpu_options(self.started) if self.gpus else {}
            name = f"worker-{self.started}"
            worker = self._start(name, "worker.Worker", "--host", HOST, *size, *place, self.url, more=gpu)
            self.workers.append(worker)
        self._wait_for(WORKERS)

    def kill_worker(self) -> None:
        """SIGKILL to a worker and its executors, as when a machine is switched off."""
        worker = self.workers.pop()
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        for process in [*self.workers, self.master]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def alive(self) -> int:
        """Workers that the master believes to be there."""
        with urllib.request.urlopen(f"http://{HOST}:{self.page}/json/", timeout=10) as answer:
            return int(json.load(answer)["aliveworkers"])

    def _gpu_options(self, number: int) -> dict[str, str]:
        """What a machine's own discovery script would find."""
        script = self.folder / f"find-gpus-{number}.sh"
        found = json.dumps({"name": "gpu", "addresses": [gpu_address(number)]})
        script.write_text(f"#!/bin/sh\necho '{found}'\n")
        script.chmod(0o755)
        options = {"amount": "1", "discoveryScript": str(script)}
        said = " ".join(f"-Dspark.worker.resource.gpu.{name}={value}" for name, value in options.items())
        return {"SPARK_WORKER_OPTS": said}

    def _wait_for(self, workers: int) -> None:
        end, found = time.monotonic() + PATIENCE, -1
        while time.monotonic() < end:
            try:
                found = self.alive()
            except (urllib.error.URLError, OSError):
                found = -1  # the master is not up yet
            if found == workers:
                return
            time.sleep(POLL_SECONDS)
        logs = "\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(self.folder.glob("*.log")))
        raise TimeoutError(f"{found} workers instead of {workers} after {PATIENCE:.0f} s\n{logs}")

    def _start(
        self, name: str, class_: str, *arguments: str, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **(more or {}),
            "PYTHONPATH": "" if self.python else str(ROOT),
            "PYSPARK_PYTHON": str(self.python or sys.executable),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }
        command = [str(SPARK_CLASS), f"org.apache.spark.deploy.{class_}", *arguments]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def gpu_address(worker: int) -> str:
    """No two workers have the same, and none is 0: a task that sees the first GPU by default is found out."""
    return str(10 + worker)


@contextmanager
def spark_cluster(folder: Path, gpus: bool = False, python: Path | None = None) -> Iterator[Cluster]:
    """A master and two workers, ready; all gone at the end."""
    cluster = Cluster(folder, gpus, python)
    try:
        cluster.complete()
        yield cluster
    finally:
        cluster.stop()
