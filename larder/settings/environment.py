"""Reads settings from environment variables."""

from __future__ import annotations

from pydantic_settings import BaseSettings, EnvSettingsSource


class NestedVariables(EnvSettingsSource):
    """The settings in variables named `LARDER_SECTION__NAME`.

    Other variables that begin with LARDER_ are not settings: the DAGs have switches such as LARDER_VISION, and
    Kubernetes sets LARDER_PORT for a service called larder.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        nested = str(self.env_nested_delimiter)
        self.env_vars = {name: value for name, value in self.env_vars.items() if nested in name}
