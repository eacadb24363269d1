"""The section `[lookup]`: every setting of the endpoint, its type, default and unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from larder.settings.section import Section

Route = Literal["similar", "personal", "generic"]


# A host, an IPv6 address in brackets, or either with a port.
BROKER = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
FORBIDDEN_KAFKA_OPTIONS = {
    "bootstrap.servers": "set lookup.kafka",
    "metadata.broker.list": "set lookup.kafka",
    "transactional.id": "messages are sent without transactions",
}


class SceneSettings(Section):
    """The routes and sizes of one named place on the site: `[lookup.scenes.NAME]`."""

    routes: list[Route] = Field(
        min_length=1, description="The routes of the scene, in the order in which they fill the answer."
    )
    most: dict[Route, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="The largest number of products that each route may give, by route."
    )
    blend: bool = Field(
        False, description="True takes products from the routes in turn, false from one route after the other."
    )
    n: int | None = Field(None, ge=1, description="The number of items if the caller gives no `n`; default: lookup.n.")

    @field_validator("routes")
    @classmethod
    def no_route_twice(cls, routes: list[Route]) -> list[Route]:
        if len(set(routes)) < len(routes):
            raise ValueError("must not name a route twice")
        return routes


class LookupSettings(Section):
    """The lookup endpoint, which answers requests from the live release in Redis."""

    host: str = Field("127.0.0.1", description="The host name or address at which the endpoint listens.")
    port: int = Field(8080, ge=0, le=65535, description="The port at which the endpoint listens; 0 takes a free port.")
    workers: int = Field(1, ge=1, description="The number of worker processes that share the port.")
    n: int = Field(10, ge=1, le=100, description="The number of items in an answer if the caller gives no `n`.")
    max_n: int = Field(100, ge=1, le=1000, description="The largest `n` that a caller may ask for.")
    max_batch: int = Field(1000, ge=1, description="The largest number of queries in one batch call.")
    max_products: int = Field(20, ge=1, le=1000, description="The largest number of `product` parameters in a query.")
    max_exclude: int = Field(200, ge=1, le=1000, description="The largest number of `exclude` parameters in a query.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="The largest body of a batch call, in bytes.")
    generic_lists: int = Field(20_000, ge=1, description="The number of generic lists that each worker caches.")
    hot_products: int = Field(20_000, ge=1, description="The number of similar lists that each worker caches.")
    deadline_ms: int = Field(
        100, ge=1, le=500, description="The time limit for Redis, in milliseconds; later replies are not used."
    )
    route_ms: dict[Route, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Time limits for Redis by route, in milliseconds, where shorter than deadline_ms.",
    )
    scenes: dict[str, SceneSettings] = Field(
        default_factory=dict, description="The scenes that a caller may choose with `scene`, by name."
    )
    pointer_seconds: float = Field(1.0, gt=0, description="The interval of checks for a new live release, in seconds.")
    mask_seconds: float = Field(0.25, gt=0, le=0.5, description="The interval of checks for changed masks, in seconds.")
    cluster: bool = Field(
        False, description="Whether redis.url surely is a Redis Cluster; if false, the endpoint finds out."
    )
    seen: bool = Field(
        True, description="Whether products that `larder mask add --cookie` hides from a visitor are left out."
    )
    max_seen: int = Field(
        1000, ge=1, le=100_000, description="The number of products hidden from one visitor that are read and left out."
    )
    breaker_failures: int = Field(
        5, ge=1, description="The number of failures in a row after which a route is skipped for breaker_seconds."
    )
    breaker_seconds: float = Field(
        0.5, gt=0, le=2, description="How long a failing route is skipped before one query tries it again, in seconds."
    )
    api_keys: dict[str, Annotated[SecretStr, Field(min_length=16)]] = Field(
        default_factory=dict,
        description="The API keys of callers, by name of the caller; without any, no key is needed.",
    )
    explain_callers: list[str] = Field(
        default_factory=list, description="The names of api_keys that may use `explain`; empty for every caller."
    )
    arm_callers: list[str] = Field(
        default_factory=list,
        description="The names of api_keys that may choose an arm of an experiment with `arm`; empty for nobody.",
    )
    metrics_callers: list[str] = Field(
        default_factory=list,
        description="The names of api_keys that may read /metrics; empty for everyone, even without a key.",
    )
    key_rate: float = Field(
        0.0, ge=0, description="The number of queries a second allowed for each API key; 0 is no limit."
    )
    tls_certificate: str = Field("", description="The PEM file of the TLS certificate; empty for plain HTTP.")
    tls_key: str = Field("", description="The PEM file of the private key of tls_certificate.")
    journey: str = Field("", description="The folder where served answers are logged as events; empty for no log.")
    journey_answers: int = Field(
        100_000, ge=1000, description="The largest number of answers in each worker that wait to be logged."
    )
    journey_seconds: float = Field(
        60.0, gt=0, description="The time after which a file of the log is finished, in seconds."
    )
    kafka: str = Field(
        "", description="The Kafka brokers (host:port, ...) to which served answers are sent; empty for none."
    )
    kafka_topic: str = Field(
        "larder.impressions", pattern="^[A-Za-z0-9._-]{1,249}$", description="The Kafka topic of served answers."
    )
    kafka_options: dict[str, SecretStr] = Field(
        default_factory=dict, description="Settings of librdkafka by name, such as security.protocol or sasl.password."
    )
    snapshot: str = Field(
        "", description="The folder where generic lists and masks are kept for a start without Redis; empty for none."
    )
    shed_ms: int = Field(
        150,
        ge=1,
        description="Requests are refused with 503 while the event loop is late by more milliseconds than this.",
    )
    max_waiting: int = Field(
        4000, ge=1, description="Requests are refused with 503 while this many of a worker wait for Redis."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="The format of log lines on stderr; `json` is one object a line."
    )
    traces: str = Field("", description="The URL of an OpenTelemetry collector (OTLP over HTTP); empty for none.")
    trace_share: float = Field(
        0.01, ge=0, le=1, description="The share of requests without `traceparent` that are traced, from 0 to 1."
    )

    @field_validator("kafka")
    @classmethod
    def are_brokers(cls, kafka: str) -> str:
        servers = kafka.split(",") if kafka else []
        if not all(re.fullmatch(BROKER, server.strip()) for server in servers):
            raise ValueError(
                'must be host:port pairs such as "broker1:9092,broker2:9092"; other options go into kafka_options'
            )
        return kafka

    @field_validator("kafka_options", mode="before")
    @classmethod
    def as_librdkafka_names_them(cls, options: Any) -> Any:
        """Flattens nested tables: TOML reads `sasl.password = "..."` as a table. Numbers become strings."""
        return dict(_dotted("", options)) if isinstance(options, dict) else options

    @field_validator("kafka_options")
    @classmethod
    def has_nothing_that_larder_sets(cls, options: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, remedy in FORBIDDEN_KAFKA_OPTIONS.items():
            if name in options:
                raise ValueError(f"{name} cannot be set here; {remedy}")
        return options

    @model_validator(mode="after")
    def callers_have_keys(self) -> LookupSettings:
        for setting in ("explain_callers", "arm_callers", "metrics_callers"):
            if unknown := sorted(set(getattr(self, setting)) - set(self.api_keys)):
                raise ValueError(f"{setting} names callers without a key in api_keys: {', '.join(unknown)}")
        return self

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
