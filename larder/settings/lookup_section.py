"""The section `[lookup]`: every setting of the endpoint, its type, default and unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from larder.settings.section import Section

Route = Literal["similar", "personal", "generic"]


# A host, an IPv6 address in brackets, or either with a port.
BROKER = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
NO_OPTIONS = {
    "bootstrap.servers": "set lookup.kafka",
    "metadata.broker.list": "set lookup.kafka",
    "transactional.id": "impressions are sent without transactions",
}


class SceneSettings(Section):
    """What one place of the site asks for: `[lookup.scenes.NAME]`."""

    routes: list[Route] = Field(min_length=1, description="in the order in which they fill the answer")
    most: dict[Route, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="route -> products it gives at most"
    )
    blend: bool = Field(False, description="true: a product of each route in turn; false: one route after the other")
    n: int | None = Field(None, ge=1, description="items of an answer where the caller names no n")

    @field_validator("routes")
    @classmethod
    def no_route_twice(cls, routes: list[Route]) -> list[Route]:
        if len(set(routes)) < len(routes):
            raise ValueError("a route is named twice")
        return routes


class LookupSettings(Section):
    """The endpoint."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    n: int = Field(10, ge=1, le=100, description="items of an answer where the caller names no n")
    max_n: int = Field(100, ge=1, le=1000)
    max_batch: int = Field(1000, ge=1, description="questions in one batch call")
    max_products: int = Field(20, ge=1, le=1000, description="products of one basket")
    max_exclude: int = Field(200, ge=1, le=1000, description="products that a caller may exclude")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="a larger batch body is refused unread")
    generic_lists: int = Field(20_000, ge=1, description="generic lists that a worker keeps of a release")
    hot_products: int = Field(20_000, ge=1, description="similar lists that a worker keeps of a release")
    deadline_ms: int = Field(100, ge=1, le=500, description="after this a route is skipped; the SLA is 500")
    route_ms: dict[Route, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="route -> a time limit of its own, below deadline_ms"
    )
    scenes: dict[str, SceneSettings] = Field(default_factory=dict, description="what a caller may name as scene")
    pointer_seconds: float = Field(1.0, gt=0, description="how often the live release is looked up")
    mask_seconds: float = Field(0.25, gt=0, le=0.5, description="how often masks are looked up")
    cluster: bool = Field(False, description="redis.url names a server of a Redis Cluster")
    seen: bool = Field(True, description="leave out what `larder mask add --cookie` says of the visitor")
    breaker_failures: int = Field(5, ge=1, description="failures of a route in a row after which it is given a pause")
    breaker_seconds: float = Field(0.5, gt=0, le=2, description="the pause; then one question tries the route")
    api_keys: dict[str, Annotated[SecretStr, Field(min_length=16)]] = Field(
        default_factory=dict, description="name of a caller -> its key; none: whoever reaches the port may ask"
    )
    key_rate: float = Field(0.0, ge=0, description="questions a second that a key allows; 0: no limit")
    tls_certificate: str = Field("", description="PEM file; empty: plain HTTP")
    tls_key: str = Field("", description="PEM file of the certificate's key")
    journey: str = Field("", description="folder in which served answers are logged as events; empty: they are not")
    journey_answers: int = Field(100_000, ge=1000, description="answers of a worker that wait to be logged, at most")
    journey_seconds: float = Field(60.0, gt=0, description="a file of the log is finished after so long")
    kafka: str = Field("", description="brokers to which the log goes, too or instead; empty: it does not")
    kafka_topic: str = Field("larder.impressions", pattern="^[A-Za-z0-9._-]{1,249}$")
    kafka_options: dict[str, SecretStr] = Field(
        default_factory=dict, description="any setting of librdkafka, such as security.protocol or sasl.password"
    )
    snapshot: str = Field("", description="folder in which generic lists outlive a restart; empty: they don't")
    shed_ms: int = Field(150, ge=1, description="requests get a 503 while others wait longer to be looked at")
    max_waiting: int = Field(4000, ge=1, description="requests of a worker that wait for Redis; more get a 503")
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line, for machines")
    traces: str = Field("", description="URL of an OpenTelemetry collector (OTLP over HTTP); empty: no traces")
    trace_share: float = Field(0.01, ge=0, le=1, description="of requests whose caller decides nothing, traced ones")

    @field_validator("kafka")
    @classmethod
    def are_brokers(cls, kafka: str) -> str:
        servers = kafka.split(",") if kafka else []
        if not all(re.fullmatch(BROKER, server.strip()) for server in servers):
            raise ValueError('must be brokers such as "broker1:9092,broker2:9092"; all else goes into kafka_options')
        return kafka

    @field_validator("kafka_options", mode="before")
    @classmethod
    def as_librdkafka_names_them(cls, options: Any) -> Any:
        """`sasl.password = "..."` makes a table in TOML, as in the environment, and numbers need no quotation marks."""
        return dict(_dotted("", options)) if isinstance(options, dict) else options

    @field_validator("kafka_options")
    @classmethod
    def has_nothing_that_larder_sets(cls, options: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, remedy in NO_OPTIONS.items():
            if name in options:
                raise ValueError(f"{name} cannot be set here; {remedy}")
        return options

    @field_validator("traces")
    @classmethod
    def is_a_collector(cls, traces: str) -> str:
        if traces:
            parts = urlsplit(traces)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError("must be the URL of a collector, such as http://127.0.0.1:4318")
            if "@" in parts.netloc or parts.query:
                raise ValueError("must hold no user, password or key; OTEL_EXPORTER_OTLP_HEADERS can send one")
        return traces


def _dotted(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _dotted(f"{prefix}{name}.", value)
        elif isinstance(value, bool):
            yield prefix + name, str(value).lower()
        else:
            yield prefix + name, str(value) if isinstance(value, (int, float)) else value
