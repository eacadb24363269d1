"""Settings from the environment."""

from __future__ import annotations

from pydantic_settings import BaseSettings, EnvSettingsSource


class NestedVariables(EnvSettingsSource):
    """`LARDER_SECTION__NAME` alone: the DAGs have switches of their own, such as LARDER_VISION, and Kubernetes sets
    LARDER_PORT for a service called larder."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        nested = str(self.env_nested_delimiter)
        self.env_vars = {name: value for name, value in self.env_vars.items() if nested in name}
