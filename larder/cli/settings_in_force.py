"""The settings in force that differ from their defaults, with secrets hidden."""

from __future__ import annotations

import re
from typing import Any

from larder.cli.installation import Finding
from larder.settings import Settings

_PASSWORD_OF_URL = re.compile(r"(?<=://)[^/\s]*(?=@)")
_SECRET = re.compile(r"key|password|secret|token", re.IGNORECASE)
HIDDEN = "**********"


def changed_settings(settings: Settings) -> list[Finding]:
    """Returns a finding a setting that is not as it is by default."""
    defaults = Settings().model_dump()
    changed = [
        Finding(f"{section}.{name}", shown(name, value))
        for section, values in settings.model_dump().items()
        for name, value in values.items()
        if value != defaults[section][name]
    ]
    return changed or [Finding("none", "every setting has its default")]


def shown(name: str, value: Any) -> str:
    """Returns a setting's value as text, without any secret in it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{each} = {shown(f'{name}.{each}', inner)}" for each, inner in value.items()) + "}"
    if _SECRET.search(name):
        return HIDDEN
    return _PASSWORD_OF_URL.sub(HIDDEN, str(value))
