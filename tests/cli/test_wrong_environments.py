"""Wrong environments: every verb says what is wrong and exits with 1 or 2, without a traceback and without a secret."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from larder.cli import main as cli

SECRET = "hunter2-s3cr3t"
WINDOW = ("--start", "2017-12-03T00", "--end", "2017-12-04T00")
AS_OF = ("--as-of", "2017-12-04T00")
NOBODY = f"redis://larder:{SECRET}@127.0.0.1:1/0"

# What is wrong: settings, environment variables, and the verb that meets them.
Case = tuple[str, str | bytes, Mapping[str, str], tuple[str, ...]]
SETTINGS_CASES: list[Case] = [
    ("not TOML", "[redis", {}, ("status",)),
    ("not UTF-8", b"[redis]\nurl = '\xff'\n", {}, ("status",)),
    ("a section that is a value", "redis = 3\n", {}, ("status",)),
    ("an unknown section", f"[reddis]\nurl = '{SECRET}'\n", {}, ("status",)),
    ("an unknown setting", f"[redis]\npassword = '{SECRET}'\n", {}, ("status",)),
    ("a number out of range", "[als]\nrank = 0\n", {}, ("train-als", *AS_OF)),
    ("a text for a number", f"[als]\nrank = '{SECRET}'\n", {}, ("train-als", *AS_OF)),
    ("a list for a URL", f"[redis]\nurl = ['{SECRET}']\n", {}, ("status",)),
    ("a URL of another kind", f"[redis]\nurl = 'http://u:{SECRET}@host'\n", {}, ("status",)),
    ("a password with a slash", f"[redis]\nurl = 'redis://:a/{SECRET}@127.0.0.1:1'\n", {}, ("status",)),
    ("a password with a question mark", f"[redis]\nurl = 'redis://:a?{SECRET}@127.0.0.1:1'\n", {}, ("status",)),
    ("a password with a hash", f"[redis]\nurl = 'redis://:a#{SECRET}@127.0.0.1:1'\n", {}, ("status",)),
    ("a port that is no number", f"[redis]\nurl = 'redis://:{SECRET}@127.0.0.1:port'\n", {}, ("status",)),
    ("a database that is no number", f"[redis]\nurl = 'redis://:{SECRET}@127.0.0.1:1/x'\n", {}, ("status",)),
    ("a socket that is not there", "[redis]\nurl = 'unix:///nowhere/redis.sock'\n", {}, ("status",)),
    ("a password file that is not there", f"[redis]\nurl = '{NOBODY}'\npassword_file = 'absent'\n", {}, ("status",)),
    ("a password command that fails", f"[redis]\nurl = '{NOBODY}'\npassword_command = 'false'\n", {}, ("status",)),
    ("two sources of passwords", "[redis]\npassword_file = 'a'\npassword_command = 'b'\n", {}, ("status",)),
    ("a namespace with spaces", "[redis]\nnamespace = 'a b'\n", {}, ("status",)),
    ("a folder of Redis below a file", "[redis]\ndirectory = 'larder.toml/redis'\n", {}, ("status",)),
    (
        "tables below a file",
        f"[storage]\ntables = 'larder.toml/t'\n[redis]\nurl = '{NOBODY}'\n",
        {},
        ("quarantine", *WINDOW),
    ),
    ("no tables", "[storage]\ntables = 'absent'\n", {}, ("quarantine", *WINDOW)),
    ("no pictures yet", "[storage]\ntables = 'absent'\n", {}, ("quarantine", "--pictures")),
    ("tables of an unknown scheme", "[storage]\ntables = 'ftp://host/t'\n", {}, ("quarantine", *WINDOW)),
    ("no journey log", "", {}, ("report", "routes", *WINDOW)),
    ("a journey log that is not there", "[lookup]\njourney = 'absent'\n", {}, ("report", "routes", *WINDOW)),
    ("a key without a secret's length", f"[lookup]\napi_keys = {{ shop = ['{SECRET}'] }}\n", {}, ("serve",)),
    ("a certificate without its key", "[lookup]\ntls_certificate = 'absent.pem'\n", {}, ("serve",)),
    ("an address that is none", "[lookup]\nhost = 'not an address'\n", {}, ("serve",)),
    ("a deadline out of range", "[lookup]\ndeadline_ms = 501\n", {}, ("serve",)),
    ("a scene without routes", "[lookup.scenes.home]\nroutes = []\n", {}, ("serve",)),
    ("a scene with an unknown setting", "[lookup.scenes.home]\nroutes = ['personal']\nmoost = 3\n", {}, ("serve",)),
    ("brokers with a password", f"[lookup]\nkafka = 'user:{SECRET}@broker:9092'\n", {}, ("serve",)),
    ("an option of Kafka that is a list", f"[lookup]\nkafka_options.sasl.password = ['{SECRET}']\n", {}, ("serve",)),
    ("a size that is no size", "[spark]\nshuffle_partitions = 0\n", {}, ("precompute", *AS_OF)),
    ("an event column that is a number", "[events]\ncolumns = { ts = 3 }\n", {}, ("aggregate-hours", *WINDOW)),
    ("an unknown event column", "[events]\ncolumns = { when = 'ts' }\n", {}, ("aggregate-hours", *WINDOW)),
    ("an unknown event format", "[events]\nformat = 'csv'\n", {}, ("aggregate-hours", *WINDOW)),
]
VARIABLE_CASES: list[Case] = [
    ("a variable of an unknown section", "", {"LARDER_REDDIS__URL": SECRET}, ("status",)),
    ("a variable of an unknown setting", "", {"LARDER_REDIS__PASSWORD": SECRET}, ("status",)),
    ("a variable that is no number", "", {"LARDER_ALS__RANK": SECRET}, ("train-als", *AS_OF)),
    ("a variable that is no JSON", "", {"LARDER_LOOKUP__API_KEYS": f"{{'{SECRET}"}, ("status",)),
    ("a variable that is JSON of another kind", "", {"LARDER_LOOKUP__API_KEYS": f'["{SECRET}"]'}, ("status",)),
    ("a variable with a broken URL", "", {"LARDER_REDIS__URL": f"redis://:{SECRET}@[::1"}, ("status",)),
    ("a server that is not there", "", {"LARDER_REDIS__URL": NOBODY}, ("status",)),
    ("settings that are not there", "", {"LARDER_SETTINGS": "absent.toml"}, ("status",)),
    ("settings that are a folder", "", {"LARDER_SETTINGS": "."}, ("status",)),
    (
        "an endpoint of S3 that is no URL",
        "[storage]\ntables = 's3a://b/t'\n",
        {"AWS_ENDPOINT_URL": "nowhere"},
        ("quarantine", *WINDOW),
    ),
]
ARGUMENT_CASES: list[Case] = [
    ("an unknown verb", "", {}, ("reheat",)),
    ("an unknown option", "", {}, ("status", "--more")),
    ("a window without an end", "", {}, ("roll-up", "--start", "2017-12-03T00")),
    ("a window that ends before it starts", "", {}, ("roll-up", "--start", "2017-12-04", "--end", "2017-12-03")),
    ("an hour that is none", "", {}, ("aggregate-hours", "--start", "noon", "--end", "2017-12-03")),
    ("a part of an hour", "", {}, ("train-als", "--as-of", "2017-12-04T00:30")),
    ("a time that is none", "", {}, ("aggregate-hours", *WINDOW, "--now", "noon")),
    ("a recipe that is not there", "", {}, ("search-vision", "--recipe", "absent.toml")),
    ("a target without a folder", "", {}, ("tune-lists", *AS_OF, "--end", "2018-01-01", "--to", "absent/w.json")),
    ("too few windows", "", {}, ("tune-lists", *AS_OF, "--end", "2018-01-01", "--to", "w.json", "--windows", "1")),
    ("a negative wait", "", {}, ("load-redis", *AS_OF, "--wait", "-1")),
    ("a bundle without a folder", "", {}, ("bundle", "--to", "absent/larder.zip")),
    ("a shop of no size", "", {}, ("plan", "--cookies", "-1", "--products", "0")),
    ("an endpoint that is not there", "", {}, ("explain", "--url", "http://127.0.0.1:1")),
    ("an endpoint that is no URL", "", {}, ("explain", "--url", "nowhere")),
    ("a quarantine of nothing", "", {}, ("quarantine",)),
    ("a quarantine of half a window", "", {}, ("quarantine", "--start", "2017-12-03")),
    ("lists of no kind", f"[redis]\nurl = '{NOBODY}'\n", {}, ("diff", "--kind", "x")),
    ("a load without a server", f"[redis]\nurl = '{NOBODY}'\n", {}, ("load-redis", *AS_OF, "--without-spark")),
    ("a mask without a server", f"[redis]\nurl = '{NOBODY}'\n", {}, ("mask", "add", "milk")),
    ("a rollback without a server", f"[redis]\nurl = '{NOBODY}'\n", {}, ("rollback",)),
    ("a doctor without a server", f"[redis]\nurl = '{NOBODY}'\n", {}, ("doctor",)),
]
CASES = [*SETTINGS_CASES, *VARIABLE_CASES, *ARGUMENT_CASES]


def run(argv: tuple[str, ...]) -> tuple[object, str]:
    """Runs the command line in this process: its exit code, and all that it wrote."""
    written = io.StringIO()
    sys.argv = ["larder", *argv]
    with redirect_stdout(written), redirect_stderr(written):
        try:
            cli.main()
        except SystemExit as ended:
            return ended.code, written.getvalue()
    return 0, written.getvalue()


def test_there_are_sixty_kinds_and_more() -> None:
    assert len({what for what, *_ in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize(
    ("settings", "variables", "argv"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_it_is_told_without_a_traceback_or_a_secret(
    settings: str | bytes,
    variables: Mapping[str, str],
    argv: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if settings:
        (tmp_path / "larder.toml").write_bytes(settings if isinstance(settings, bytes) else settings.encode())
    code, said = run(argv)
    assert code in (1, 2), said
    assert said.strip()
    assert "Traceback" not in said
    assert SECRET not in said
    assert SECRET not in " ".join(os.listdir(tmp_path))
