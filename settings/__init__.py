"""Typed settings: one `larder.toml`, and `LARDER_*` environment variables over it."""

from settings.load import SettingsError, load_settings
from settings.sections import Settings

__all__ = ["Settings", "SettingsError", "load_settings"]
