"""Typed settings: one `larder.toml`, and `LARDER_*` environment variables over it."""

from larder.settings.loading import SettingsError, load_settings
from larder.settings.sections import Settings

__all__ = ["Settings", "SettingsError", "load_settings"]
