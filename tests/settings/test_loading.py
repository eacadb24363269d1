"""Settings come from a file, environment variables win over it, and an error names the setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from larder.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_file(folder: Path, text: str, name: str = "shop.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def complaint(file: Path | None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    return str(caught.value)


def test_without_a_file_every_setting_has_its_default(folder: Path) -> None:
    settings = load_settings()
    assert settings.model_dump(exclude={"storage", "redis"}) == Settings().model_dump(exclude={"storage", "redis"})
    assert settings.storage.events == str(folder / "data/events")
    assert settings.redis.directory == str(folder / "data/redis")


def test_a_file_sets_what_it_names_and_nothing_else(folder: Path) -> None:
    file = settings_file(folder, "[als]\nrank = 8\n[weights]\nview = 0.5\n")
    settings = load_settings(file)
    assert (settings.als.rank, settings.weights.view) == (8, 0.5)
    assert settings.als.iterations == Settings().als.iterations
    assert settings.lists == Settings().lists


def test_larder_toml_of_the_working_folder_is_read_unasked(folder: Path) -> None:
    settings_file(folder, "[als]\nrank = 8\n", "larder.toml")
    assert load_settings().als.rank == 8


def test_the_variable_names_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_file(folder, "[als]\nrank = 8\n", "larder.toml")
    monkeypatch.setenv("LARDER_SETTINGS", str(settings_file(folder, "[als]\nrank = 9\n")))
    assert load_settings().als.rank == 9


def test_an_argument_wins_over_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_SETTINGS", str(folder / "absent.toml"))
    assert load_settings(settings_file(folder, "[als]\nrank = 9\n")).als.rank == 9


def test_the_environment_wins_over_the_file_one_value_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = settings_file(folder, '[redis]\nnamespace = "shop"\nkeep_releases = 5\nurl = "redis://file"\n')
    monkeypatch.setenv("LARDER_REDIS__URL", "redis://environment")
    monkeypatch.setenv("LARDER_ALS__RANK", "7")
    settings = load_settings(file)
    redis = settings.redis
    assert (redis.namespace, redis.keep_releases, redis.url.get_secret_value()) == ("shop", 5, "redis://environment")
    assert settings.als.rank == 7


def test_a_table_of_settings_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_EVENTS__COLUMNS", '{"ts": "time", "cookie_id": "visitor"}')
    assert load_settings().events.columns == {"ts": "time", "cookie_id": "visitor"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[redis]\nurll = 'redis://x'\n", "redis.urll"),
        ("[reddis]\nurl = 'redis://x'\n", "reddis"),
        ("[als]\nrank = 0\n", "als.rank"),
        ("[als]\nrank = 'many'\n", "als.rank"),
        ("[redis]\nkeep_releases = 1\n", "redis.keep_releases"),
        ("[redis]\nnamespace = 'a:b'\n", "redis.namespace"),
        ("[lists]\nrebuy = 'sometimes'\n", "lists.rebuy"),
        ("[lists]\npersonal = 121\n", "lists.personal"),
        ("[lookup]\ndeadline_ms = 501\n", "lookup.deadline_ms"),
        ("[events]\ncolumns = {timestamp = 'time'}\n", "timestamp"),
        ("[weights]\npurchase = -1.0\n", "weights.purchase"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(folder: Path, text: str, named: str) -> None:
    message = complaint(settings_file(folder, text))
    assert named in message
    assert "shop.toml" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[lists]\npersonel = 3\n", "lists.personel: there is no such setting; personal?"),
        ("[reddis]\nurl = 'hunter2'\n", "reddis: there is no such section; redis?"),
        ("[redis]\npassword = 'hunter2'\n", "redis.password: there is no such setting"),
        (
            "[lookup.scenes.home]\nroutes = ['personal']\nmoost = 3\n",
            "lookup.scenes.home.moost: there is no such",
        ),
        ("als = 3\n", "als: must be a section: [als] (got 3)"),
    ],
)
def test_a_name_that_is_not_known_is_told_with_the_nearest(folder: Path, text: str, told: str) -> None:
    message = complaint(settings_file(folder, text))
    assert told in message
    assert "hunter2" not in message


def test_everything_that_does_not_fit_is_named_at_once(folder: Path) -> None:
    message = complaint(settings_file(folder, "[als]\nrank = 0\niterations = 0\n"))
    assert "als.rank" in message
    assert "als.iterations" in message
    assert "got 0" in message


@pytest.mark.parametrize("name", ["LARDER_REDIS__URLL", "LARDER_REDDIS__URL", "LARDER_ALS__RANK"])
def test_a_variable_that_does_not_fit_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "redis://x")
    message = complaint(None)
    assert name.removeprefix("LARDER_").lower().replace("__", ".") in message.lower().replace("__", ".")


@pytest.mark.parametrize("name", ["LARDER_PORT", "LARDER_SERVICE_HOST", "LARDER_LOG", "LARDER_VISION", "LARDER_REDIS"])
def test_variables_of_others_that_begin_alike_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert load_settings().als == Settings().als


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    message = complaint(folder / "absent.toml")
    assert "absent.toml" in message
    assert "LARDER_SETTINGS" in message


def test_a_file_that_is_not_toml_is_named_with_the_place(folder: Path) -> None:
    message = complaint(settings_file(folder, "[als\nrank = 1\n"))
    assert "shop.toml" in message
    assert "line 1" in message


def test_a_file_that_is_not_text_is_named(folder: Path) -> None:
    file = folder / "shop.toml"
    file.write_bytes(b"\xff\xfe\x00")
    assert "shop.toml" in complaint(file)


def test_relative_places_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "etc").mkdir()
    text = "[storage]\nevents = '../logs'\ntables = '/mnt/tables'\ncatalogue = 's3a://shop/catalogue'\n"
    storage = load_settings(settings_file(folder / "etc", text)).storage
    assert storage.events == str(folder / "logs")
    assert storage.tables == "/mnt/tables"
    assert storage.catalogue == "s3a://shop/catalogue"
    assert storage.images == ""


def test_a_file_named_by_a_relative_path_gives_absolute_places(folder: Path) -> None:
    (folder / "etc").mkdir()
    settings_file(folder / "etc", "[redis]\ndirectory = 'redis'\n")
    assert load_settings(os.path.join("etc", "shop.toml")).redis.directory == str(folder / "etc" / "redis")


def test_settings_do_not_change_once_read() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.als.rank = 1  # type: ignore[misc]


def test_with_weights_the_candidates_fill_a_list(folder: Path) -> None:
    text = "[lists]\npersonal = 30\nover_fetch = 20\ncandidates = 49\n"
    assert load_settings(settings_file(folder, text)).lists.candidates == 49
    assert "candidates must be at least personal + over_fetch" in complaint(
        settings_file(folder, text + 'weights = "weights.json"\n')
    )


KAFKA = """
[lookup]
kafka = "broker1:9092,[::1]:9092"
[lookup.kafka_options]
security.protocol = "SASL_SSL"
"sasl.password" = "hunter2"
linger.ms = 50
enable.idempotence = false
"""


def test_settings_of_librdkafka_have_its_names_and_are_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_LOOKUP__KAFKA_OPTIONS__SASL__USERNAME", "larder")
    lookup = load_settings(settings_file(folder, KAFKA)).lookup
    assert {name: value.get_secret_value() for name, value in lookup.kafka_options.items()} == {
        "security.protocol": "SASL_SSL", "sasl.password": "hunter2", "sasl.username": "larder",
        "linger.ms": "50", "enable.idempotence": "false",
    }  # fmt: skip
    assert "hunter2" not in repr(lookup)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kafka = "user:hunter2@broker:9092"', "lookup.kafka: Value error, must be host:port pairs such as"),
        ('kafka = "broker1:9092 broker2:9092"', "must be host:port pairs such as"),
        ('kafka = "broker1:9092,"', "must be host:port pairs such as"),
        ('kafka_topic = "a topic"', "lookup.kafka_topic"),
        ('kafka_options.bootstrap.servers = "hunter2"', "bootstrap.servers cannot be set here; set lookup.kafka"),
        ('kafka_options.transactional.id = "hunter2"', "transactional.id cannot be set here"),
        ('kafka_options.sasl.password = ["hunter2"]', "lookup.kafka_options.sasl.password"),
        ('kafka_options = "hunter2"', "lookup.kafka_options"),
    ],
)
def test_what_does_not_fit_of_kafka_is_named_without_secrets(folder: Path, text: str, told: str) -> None:
    message = complaint(settings_file(folder, f"[lookup]\n{text}\n"))
    assert told in message
    assert "hunter2" not in message
