"""The journey log in a Kafka topic: one message for each impression, keyed by the cookie.

Messages that do not fit into librdkafka's queue, because no broker takes any, are dropped and counted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from larder.journey.destinations import KAFKA, KafkaTopic, WrittenCount
from larder.journey.messages import AnswerMessages, messages
from larder.journey.served import ServedAnswers

DEFAULTS = {
    "client.id": "larder-lookup",
    # Keeps the order of a visitor's events, without duplicates, when messages are sent again.
    "enable.idempotence": "true",
    # The partitioner of Java producers, so that a shop's own events of a visitor go to the same partition.
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": "100",
    # Limits of the queue, about 20 s at a thousand answers a second.
    "queue.buffering.max.messages": "200000",
    "queue.buffering.max.kbytes": "65536",
    # No lines on stderr: callbacks report the same errors, without a line for each attempt.
    "log_level": "0",
    "log.connection.close": "false",
}
FLUSH_SECONDS = 5.0
PURGE_SECONDS = 1.0
# How long one write may wait for room in the queue, while the broker accepts messages.
ROOM_SECONDS = 0.5
LOOK_SECONDS = 0.02
# A problem is reported again if it was absent for this long.
QUIET_SECONDS = 60.0
# The pause between two new producers, after a fatal error.
RENEW_SECONDS = 10.0
MESSAGES_A_LOOK = 1000
QUEUE_IS_FULL = "the queue of messages for the broker is full"


class KafkaOptionsError(ValueError):
    """librdkafka rejects the options; the message says why, without the values."""


def check(kafka: KafkaTopic) -> None:
    """Raises KafkaOptionsError if no producer can be made with these options. Connects to no broker."""
    try:
        Producer({**DEFAULTS, **_plain(kafka)})
    except (KafkaException, TypeError, ValueError) as error:
        raise KafkaOptionsError(_without_secrets(_told(error), kafka)) from None


class KafkaDestination:
    """A Kafka topic as a destination of one writer process."""

    def __init__(self, kafka: KafkaTopic) -> None:
        self._kafka = kafka
        self._names: dict[int, list[bytes]] = {}
        self._producer: Producer | None = None
        self._renew_at = 0.0
        self._is_over = False
        # True after waiting in vain for room in the queue, until a message is delivered.
        self._is_stuck = False
        self._unseen = 0
        self._seen_problems: dict[str, float] = {}
        self._delivered = 0
        self._lost = 0
        self._problems: list[str] = []

    def learn(self, load: int, names: list[bytes]) -> None:
        """See Destination.learn."""
        self._names.setdefault(load, []).extend(names)

    def forget(self, load: int) -> None:
        """See Destination.forget."""
        self._names.pop(load, None)

    def write(self, served: ServedAnswers) -> None:
        """Queues the messages of answers, and handles delivery reports. Raises nothing."""
        begun, room_until = 0, time.monotonic() + ROOM_SECONDS
        try:
            producer = self._ready()
            producer.poll(0)
            for each in messages(served, self._names.get(served.load, [])):
                begun += 1
                self._send(producer, each, room_until)
        except Exception as error:
            self._lost += served.answers - begun
            self._note("producer", _told(error))

    def finish(self) -> None:
        """Waits up to FLUSH_SECONDS for queued messages; drops the rest."""
        producer, self._producer = self._producer, None
        if producer is not None and producer.flush(FLUSH_SECONDS):
            self._purge(producer)

    def take_counts(self) -> WrittenCount:
        """See Destination.take_counts."""
        told = WrittenCount(KAFKA, self._delivered, self._lost, "; ".join(self._problems))
        self._delivered, self._lost, self._problems = 0, 0, []
        return told

    def ended(self, problem: str) -> None:
        """Counts an answer as delivered, or as lost if there is a problem."""
        if problem:
            self._lost += 1
        else:
            self._delivered += 1
            self._is_stuck = False

    def failed(self, error: KafkaError) -> None:
        """Records an error of a broker or of a message."""
        self._is_over = self._is_over or error.fatal()
        self._note(error.name(), error.str())

    def _ready(self) -> Producer:
        """Returns the producer, or a new one after a fatal error. Raises if none can be made."""
        now = time.monotonic()
        if self._producer is not None and self._is_over and now >= self._renew_at:
            self._purge(self._producer)
            self._producer = None
        if self._producer is None:
            self._renew_at = now + RENEW_SECONDS
            given = {**DEFAULTS, **_plain(self._kafka), "bootstrap.servers": self._kafka.servers}
            self._producer = Producer({**given, "error_cb": self.failed})
            self._is_over = False
        return self._producer

    def _send(self, producer: Producer, answer: AnswerMessages, room_until: float) -> None:
        values, cookie, moment = answer
        if not values:
            self._delivered += 1
            return
        fate = AnswerDelivery(self, len(values))
        for number, value in enumerate(values):
            try:
                while not self._is_taken(producer, value, cookie, moment, fate):
                    if not self._finds_room(producer, room_until):
                        self._note("full", QUEUE_IS_FULL)
                        fate.miss(len(values) - number, QUEUE_IS_FULL)
                        return
            except KafkaException as error:
                self.failed(error.args[0])
                fate.miss(len(values) - number, _told(error))
                return
        self._unseen += len(values)
        if self._unseen >= MESSAGES_A_LOOK:
            # A message occupies the queue until its delivery report is handled.
            producer.poll(0)
            self._unseen = 0

    def _is_taken(self, producer: Producer, value: bytes, cookie: bytes, moment: int, fate: AnswerDelivery) -> bool:
        try:
            producer.produce(self._kafka.topic, value, cookie, on_delivery=fate, timestamp=moment)
            return True
        except BufferError:
            return False

    def _finds_room(self, producer: Producer, until: float) -> bool:
        while not self._is_stuck and time.monotonic() < until:
            before = len(producer)
            producer.poll(LOOK_SECONDS)
            if len(producer) < before:
                return True
        self._is_stuck = True
        return False

    def _purge(self, producer: Producer) -> None:
        producer.purge()
        producer.flush(PURGE_SECONDS)

    def _note(self, kind: str, problem: str) -> None:
        """Keeps a problem for the next report, unless it was reported and goes on."""
        now = time.monotonic()
        if now - self._seen_problems.get(kind, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._problems.append(_without_secrets(problem, self._kafka))
        self._seen_problems[kind] = now


class AnswerDelivery:
    """The delivery report of one answer, which is delivered once all of its messages are."""

    __slots__ = ("_left", "_problem", "_topic")

    def __init__(self, topic: KafkaDestination, count: int) -> None:
        self._topic = topic
        self._left = count
        self._problem = ""

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Handles the delivery report of one message."""
        if error is not None:
            self._topic.failed(error)
            self._problem = error.name()
        self._left -= 1
        if not self._left:
            self._topic.ended(self._problem)

    def miss(self, count: int, problem: str) -> None:
        """Counts `count` messages that could not be sent."""
        self._problem = problem
        self._left -= count
        if not self._left:
            self._topic.ended(problem)


def _plain(kafka: KafkaTopic) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in kafka.options.items()}


def _told(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)


def _without_secrets(text: str, kafka: KafkaTopic) -> str:
    """Hides option values in an error message of librdkafka; very short values are numbers, not secrets."""
    values: Sequence[str] = sorted(_plain(kafka).values(), key=len, reverse=True)
    for value in values:
        if len(value) > 3:
            text = text.replace(value, "...")
    return text
