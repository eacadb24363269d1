"""A broker of Apache Kafka on loopback, in KRaft mode, which can be killed; its jars come from Maven Central."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
from confluent_kafka import Consumer, TopicPartition
from ports import free_port

VERSION = "4.1.2"
# 42 MB, fetched once by the Ivy that Spark fetches its packages with, into the folder beside its own.
JARS = Path.home() / ".ivy2.kafka" / VERSION
IVY = Path(pyspark.__file__).parent / "jars"
OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m"]
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
num.partitions=3
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
"""
PATIENCE = 60.0


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def fetch_jars() -> None:
    """Has Kafka and what it needs in JARS."""
    if JARS.is_dir():
        return
    [ivy] = IVY.glob("ivy-*.jar")
    unfinished = JARS.with_name(f"{VERSION}.{uuid.uuid4().hex}")
    what = ["-dependency", "org.apache.kafka", "kafka_2.13", VERSION, "-confs", "default", "-types", "jar", "bundle"]
    where = ["-cache", str(JARS.parent / "cache"), "-retrieve", f"{unfinished}/[artifact]-[revision].[ext]"]
    subprocess.run([java(), "-jar", str(ivy), "-error", *what, *where], check=True, capture_output=True)
    unfinished.replace(JARS)


class Broker:
    """One whose topics are made when they are written to, of three partitions. Not started yet."""

    def __init__(self, folder: Path) -> None:
        fetch_jars()
        self.folder = folder
        self.port, controller = free_port(), free_port()
        self.properties = folder / "server.properties"
        self.properties.write_text(PROPERTIES.format(port=self.port, controller=controller, folder=folder))
        self.process: subprocess.Popen[bytes] | None = None
        self._java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c").wait(PATIENCE)

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        self.process = self._java("kafka.Kafka")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError(f"the broker does not listen within {PATIENCE} s")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _java(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [java(), *OPTIONS, "-cp", f"{JARS}/*", main, *arguments, str(self.properties)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def messages(self, topic: str) -> list[tuple[int, str, dict[str, Any]]]:
        """Partition, key and value of all that are there now, in their order within each partition."""
        return list(self._messages(topic))

    def _messages(self, topic: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "test", "enable.partition.eof": "true"})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            left = len(partitions)
            while left:
                message = consumer.poll(10)
                assert message is not None, "nothing comes"
                if message.error():
                    # The end of a partition, or one that has no leader yet.
                    left -= 1
                    continue
                value, key = message.value(), message.key()
                assert isinstance(value, bytes) and isinstance(key, bytes)
                partition = message.partition()
                assert partition is not None
                yield partition, key.decode(), json.loads(value)
        finally:
            consumer.close()
