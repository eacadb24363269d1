"""Loads settings from `larder.toml` and the environment; an error names the setting that is wrong."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError as VariableError

from larder.settings.section import Section
from larder.settings.settings import Settings
from larder.settings.vision_section import NETWORK_FILE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_VARIABLE = "LARDER_SETTINGS"
# Settings whose values no error message may show.
SECRETS = {"api_keys", "url", "traces", "kafka", "kafka_options"}
PREFIX = "LARDER_"
DEFAULT_FILE = "larder.toml"
# Settings that hold a path. A relative path is relative to the settings file.
PATHS = {
    "storage": ("events", "tables", "catalogue", "images"),
    "lists": ("weights", "exclude_file"),
    "vision": ("backbone", "backbone_weights"),
    "redis": ("directory", "password_file"),
    "lookup": ("journey", "snapshot", "tls_certificate", "tls_key"),
}

# Each variable that [s3] fills, and the variables that win over [s3].
S3_VARIABLES = {
    "AWS_ENDPOINT_URL_S3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "AWS_REGION": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}


class SettingsError(ValueError):
    """A setting is missing, unknown or out of range; the message names it and the file."""


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Returns the settings from `path`, else $LARDER_SETTINGS, else ./larder.toml if it exists, else the defaults.

    Environment variables (`LARDER_REDIS__URL`) win over the file. Values of [s3] are put into the AWS_* variables that
    are not set, because every S3 client reads those. Raises SettingsError.
    """
    named = path or os.environ.get(FILE_VARIABLE)
    file = Path(named) if named else Path(DEFAULT_FILE)
    if named and not file.is_file():
        raise SettingsError(f"no settings file at {file}; name one with --settings or {FILE_VARIABLE}")
    from_file = _read(file) if file.is_file() else {}
    folder = file.resolve().parent if file.is_file() else Path.cwd()
    _refuse_unknown_sections(os.environ)
    try:
        settings = Settings(**from_file)
    except VariableError as error:  # its message names a section alone, and its cause would show the value
        raise SettingsError(f"settings do not fit: {_unreadable_variable(os.environ) or error}") from None
    except ValidationError as error:
        raise SettingsError(_explain(error, file if from_file else None)) from None
    for variable, value in (("AWS_ENDPOINT_URL_S3", settings.s3.endpoint), ("AWS_REGION", settings.s3.region)):
        if value and not any(os.environ.get(name) for name in S3_VARIABLES[variable]):
            os.environ[variable] = value
    return _with_absolute_paths(settings, folder)


def _unreadable_variable(variables: Mapping[str, str]) -> str:
    """Returns the names of the variables that begin as JSON does and are not JSON; never their values."""
    wrong = []
    for name, value in sorted(variables.items()):
        if name.upper().startswith(PREFIX) and value.lstrip()[:1] in ("{", "["):
            try:
                json.loads(value)
            except ValueError:
                wrong.append(name)
    return f"{', '.join(wrong)}: not valid JSON" if wrong else ""


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))  # Windows' editors begin a file with a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None


def _refuse_unknown_sections(variables: Iterable[str]) -> None:
    """Raises SettingsError for a variable of an unknown section, which pydantic would ignore.

    Variables of other programs (Kubernetes sets LARDER_PORT for a service called larder) have no double underscore.
    """
    known = sorted(Settings.model_fields)
    for name in variables:
        section, nested, _ = name.upper().removeprefix(PREFIX).partition("__")
        if name.upper().startswith(PREFIX) and nested and section.lower() not in known:
            raise SettingsError(f"no section {section.lower()} for the variable {name}; there are {', '.join(known)}")


def _explain(error: ValidationError, file: Path | None) -> str:
    where = f"{file} and LARDER_* variables" if file else "LARDER_* variables"
    lines = [f"  {'.'.join(map(str, e['loc']))}: {_message(e)}" for e in error.errors()]
    return f"settings do not fit, in {where}:\n" + "\n".join(lines)


def _message(error: ErrorDetails) -> str:
    *sections, name = map(str, error["loc"])
    if error["type"] == "extra_forbidden":  # its value may be a secret in the wrong section
        known = _names_in(sections)
        near = difflib.get_close_matches(name, known, 1)
        return "there is no such " + ("setting" if sections else "section") + (f"; {near[0]}?" if near else "")
    if error["type"] == "model_type":
        return f"must be a section: [{'.'.join([*sections, name])}] (got {_shown(error)})"
    return f"{error['msg']} (got {_shown(error)})"


def _names_in(sections: Sequence[str]) -> list[str]:
    """Returns the names of a section's settings; of all sections if `sections` is empty, of none below a section."""
    if not sections:
        return list(Settings.model_fields)
    section = Settings.model_fields[sections[0]].default if len(sections) == 1 else None
    return list(type(section).model_fields) if isinstance(section, Section) else []


def _shown(error: ErrorDetails) -> str:
    """Returns the value that was given, or what it is if it must not be logged.

    A text where a number belongs may be a secret that was put into the wrong setting.
    """
    if SECRETS & set(map(str, error["loc"])):
        return "a secret"
    is_out_of_place = isinstance(error["input"], str) and not error["type"].startswith(("literal", "string"))
    return "a text" if is_out_of_place else repr(error["input"])


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    updates: dict[str, Any] = {}
    for section_name, names in PATHS.items():
        section = getattr(settings, section_name)
        paths = {
            name: os.path.normpath(folder / value)
            for name in names
            if (value := getattr(section, name)) and _is_relative_path(name, value)
        }
        updates[section_name] = section.model_copy(update=paths)
    return settings.model_copy(update=updates)


def _is_relative_path(name: str, value: str) -> bool:
    if name == "backbone" and not value.endswith(NETWORK_FILE):
        return False  # the name of a network of keras.applications
    return "://" not in value and not Path(value).is_absolute()
