"""`larder serve`: the endpoint in the foreground."""

from __future__ import annotations

import typer
from pydantic import SecretStr

from larder.cli.settings_option import SettingsFile
from larder.loaders.embedded import redis_server
from larder.settings import load_settings

verbs = typer.Typer()


@verbs.command()
def serve(settings_file: SettingsFile = None) -> None:
    """Answer over HTTP until Ctrl-C."""
    from larder.lookup.operations.serve import serve as serve_until_stopped

    settings = load_settings(settings_file)
    with redis_server(settings.redis.url.get_secret_value(), settings.redis.directory) as url:
        redis = settings.redis.model_copy(update={"url": SecretStr(url)})
        serve_until_stopped(settings.model_copy(update={"redis": redis}))
