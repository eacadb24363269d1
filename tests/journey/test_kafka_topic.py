"""A topic, by the broker that librdkafka has for tests: what is delivered, what is lost, and that nothing is hidden."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import pytest
from confluent_kafka import KafkaError
from noted_answers import Answers, noted
from pydantic import SecretStr

from larder.journey.destinations import KAFKA, KafkaTopic, WrittenCount
from larder.journey.kafka import QUEUE_IS_FULL, KafkaDestination, KafkaOptionsError, check

ANSWERS: Answers = [
    ("c1", "", "a", [("personal", ["x", "y"])]),
    ("c2", "", "b", []),
    ("c1", "", "c", [("generic", ["x"])]),
]
NOBODY = "127.0.0.1:1"


def kafka(servers: str = NOBODY, **options: object) -> KafkaTopic:
    given = {name.replace("_", "."): SecretStr(str(value)) for name, value in options.items()}
    return KafkaTopic(servers, "larder.impressions", given)


def topic(servers: str = NOBODY, **options: object) -> KafkaDestination:
    made = KafkaDestination(kafka(servers, **options))
    made.learn(1, noted(ANSWERS)[1])
    return made


def total(topic: KafkaDestination, seconds: float = 0.0) -> Counter[str]:
    """What the topic tells within so many seconds."""
    told: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while True:
        topic.write(noted([])[0])
        place, answers, lost, problem = topic.take_counts()
        assert place == KAFKA
        told.update({"delivered": answers, "lost": lost, problem: 1})
        if time.monotonic() >= end:
            return told
        time.sleep(0.05)


def test_an_answer_is_delivered_when_its_messages_are() -> None:
    served_to = topic(test_mock_num_brokers=1)
    served_to.write(noted(ANSWERS)[0])
    served_to.finish()
    assert served_to.take_counts() == WrittenCount(KAFKA, 3, 0, "")
    served_to.write(noted(ANSWERS)[0])
    served_to.finish()
    assert served_to.take_counts().answers == 3


def test_answers_of_several_releases_have_their_own_products() -> None:
    served_to = topic(test_mock_num_brokers=1)
    served_to.learn(2, noted(ANSWERS[2:])[1])
    for load in (2, 1):
        served_to.write(noted(ANSWERS if load == 1 else ANSWERS[2:], load=load)[0])
    served_to.finish()
    assert served_to.take_counts() == WrittenCount(KAFKA, 4, 0, "")
    served_to.forget(1)
    served_to.write(noted(ANSWERS[2:], load=2)[0])
    served_to.write(noted(ANSWERS, load=1)[0])
    served_to.finish()
    told = served_to.take_counts()
    assert (told.answers, told.lost) == (1, 3)


def test_what_waits_too_long_is_lost_and_its_problem_told_once() -> None:
    served_to = topic(message_timeout_ms=500)
    for _ in range(3):
        served_to.write(noted(ANSWERS)[0])
    told = total(served_to, 2.5)
    # The answer without a product has no message to wait for.
    assert (told["delivered"], told["lost"]) == (3, 6)
    problems = [problem for problem in told if "timed out" in problem or "refused" in problem]
    assert problems and all(told[problem] == 1 for problem in problems)


def test_a_queue_that_is_full_costs_what_comes_then_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    served_to = topic(queue_buffering_max_messages=1)
    served_to.write(noted(ANSWERS)[0])
    # A wait for room would be longer than any test.
    monkeypatch.setattr("larder.journey.kafka.ROOM_SECONDS", 3600.0)
    for _ in range(100):
        served_to.write(noted(ANSWERS)[0])
    told = served_to.take_counts()
    # Of the very first answer one message waits: what becomes of it is not known yet.
    assert told.lost == 2 * 101 - 1
    assert told.problem.count(QUEUE_IS_FULL) == 1


def test_a_full_queue_is_waited_for_while_the_broker_takes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.journey.kafka.ROOM_SECONDS", 60.0)
    served_to = topic(test_mock_num_brokers=1, queue_buffering_max_messages=2)
    served_to.write(noted([])[0])
    for _ in range(20):
        served_to.write(noted(ANSWERS)[0])
    served_to.finish()
    told = served_to.take_counts()
    assert (told.answers, told.lost) == (60, 0)


def test_an_end_is_not_waited_for_longer_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.journey.kafka.FLUSH_SECONDS", 0.3)
    served_to = topic()
    served_to.write(noted(ANSWERS)[0])
    served_to.finish()
    assert served_to.take_counts().lost == 2


def test_a_producer_that_cannot_be_made_costs_the_answers_alone() -> None:
    served_to = topic(ssl_ca_location="/nowhere.pem", security_protocol="ssl")
    served_to.write(noted(ANSWERS)[0])
    served_to.write(noted(ANSWERS)[0])
    place, answers, lost, problem = served_to.take_counts()
    assert (place, answers, lost) == (KAFKA, 0, 6)
    assert "ssl.ca.location" in problem


def test_a_producer_that_can_do_no_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.journey.kafka.RENEW_SECONDS", 0.0)
    served_to = topic(test_mock_num_brokers=1)
    served_to.write(noted(ANSWERS)[0])
    served_to.failed(KafkaError(KafkaError._FATAL, "no such producer", fatal=True))
    served_to.write(noted(ANSWERS)[0])
    served_to.finish()
    told = served_to.take_counts()
    assert told.answers + told.lost == 6
    assert told.answers >= 4
    assert "no such producer" in told.problem


def test_it_needs_no_pyarrow() -> None:
    script = "import sys, larder.journey.kafka, larder.journey.writer; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"no_such_thing": "1"}, "no.such.thing"),
        ({"message_timeout_ms": "a-secret"}, "message.timeout.ms"),
        ({"security_protocol": "a-secret"}, "security.protocol"),
        ({"ssl_ca_location": "a-secret", "security_protocol": "ssl"}, "ssl.ca.location"),
        ({"sasl_mechanism": "PLAIN", "security_protocol": "sasl_ssl", "sasl_password": "a-secret"}, "sasl.username"),
    ],
)
def test_options_that_cannot_be_used_are_named_without_their_values(options: dict[str, str], told: str) -> None:
    with pytest.raises(KafkaOptionsError) as caught:
        check(kafka(**options))
    assert told in str(caught.value)
    assert "a-secret" not in str(caught.value)


def test_what_holds_secrets_does_not_show_them() -> None:
    assert "a-secret" not in repr(kafka(sasl_password="a-secret"))
    check(kafka(sasl_username="u", sasl_password="a-secret", sasl_mechanism="PLAIN", security_protocol="sasl_ssl"))
