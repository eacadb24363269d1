"""The OpenAPI 3.1 description of the endpoint, with the limits in the settings."""

from __future__ import annotations

from larder.lookup.http.openapi_schemas import Json, a_scene, an_id, an_n, reference, schemas
from larder.settings import LookupSettings

ANSWER_EXAMPLE: Json = {
    "items": [
        {"id": "milk", "score": 0.98, "route": "personal"},
        {"id": "bread", "score": 12.5, "route": "generic"},
    ],
    "release": "r12",
    "as_of": "2017-12-04T00:00:00Z",
    "age_seconds": 5400,
    "request_id": "b41ac3a9-17",
    "routes": [
        {"route": "similar", "status": "skipped", "reason": "no_product", "level": None},
        {"route": "personal", "status": "used", "reason": None, "level": None},
        {"route": "generic", "status": "filled", "reason": None, "level": "location"},
    ],
}
ERROR_EXAMPLE: Json = {"error": {"code": "invalid_n", "message": "n must be a whole number from 1 to 100"}}
RETRY_AFTER: Json = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
REQUEST_ID: Json = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "returned as request_id if it consists of 1 to 128 letters, digits and ._:/+=@-; "
    "otherwise one is generated",
    "schema": {"type": "string"},
}


def document(limits: LookupSettings) -> Json:
    """Returns the description as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Larder lookup",
            "version": "1",
            "description": "Recommendations that were computed ahead of time, read from the live release.",
        },
        "paths": {
            "/v1/recommendations": {"get": _recommendations(limits)},
            "/v1/recommendations:batch": {"post": _batch()},
            "/health/live": {"get": _health_live()},
            "/health/ready": {"get": _health_ready()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _openapi()},
        },
        "components": {"schemas": schemas(limits)},
    }


def _recommendations(limits: LookupSettings) -> Json:
    return {
        "operationId": "recommend",
        "summary": "One visitor's products",
        "parameters": [
            _parameter("cookie", "the visitor"),
            {
                "name": "product",
                "in": "query",
                "required": False,
                "description": "a product that the visitor views or has in the basket; may be repeated",
                "style": "form",
                "explode": True,
                "schema": {"type": "array", "maxItems": limits.max_products, "items": an_id()},
                "example": ["milk"],
            },
            {
                "name": "exclude",
                "in": "query",
                "required": False,
                "description": "a product that must not be in the answer; may be repeated",
                "style": "form",
                "explode": True,
                "schema": {"type": "array", "maxItems": limits.max_exclude, "items": an_id()},
            },
            _parameter("location", "the location of the visitor"),
            _parameter("device", "the device of the visitor"),
            {
                "name": "n",
                "in": "query",
                "required": False,
                "description": "number of products",
                "schema": an_n(limits),
            },
            {
                "name": "scene",
                "in": "query",
                "required": False,
                "description": "the named place on the site, which decides about routes and their order",
                "schema": a_scene(limits),
            },
            {
                "name": "arm",
                "in": "query",
                "required": False,
                "description": "the arm to give instead of the assigned one, as EXPERIMENT:ARM; needs a key of "
                "lookup.arm_callers",
                "schema": an_id(),
            },
            {
                "name": "explain",
                "in": "query",
                "required": False,
                "description": "1: add an explanation of how the answer was made",
                "schema": {"enum": ["0", "1"]},
            },
            REQUEST_ID,
        ],
        "responses": {
            "200": _content("The answer", "Answer", ANSWER_EXAMPLE),
            "400": _content("A parameter is invalid", "Error", ERROR_EXAMPLE),
            "414": _content("The URL is longer than 64 KiB; the body of a batch may be longer", "Error", None),
            **_refusals(),
        },
    }


def _batch() -> Json:
    request = {"requests": [{"cookie": "c1", "n": 2}, {"product": ["milk", "bread"]}]}
    answers = {"responses": [{"answer": ANSWER_EXAMPLE}, ERROR_EXAMPLE]}
    return {
        "operationId": "recommendBatch",
        "summary": "Many queries in one call, each with its answer or error, in the order of the queries",
        "parameters": [REQUEST_ID],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference("Batch"), "example": request}},
        },
        "responses": {
            "200": _content("An answer or error for each query", "BatchAnswer", answers),
            "400": _content("The body is not a batch", "Error", ERROR_EXAMPLE),
            "408": _content("The request did not arrive in time", "Error", None),
            "413": _content("The body is too large", "Error", None),
            **_refusals(),
        },
    }


def _health_live() -> Json:
    schema = {
        "type": "object",
        "required": ["live"],
        "properties": {"live": {"const": True}},
        "additionalProperties": False,
    }
    return {
        "operationId": "live",
        "summary": "Is the process alive?",
        "responses": {
            "200": {"description": "The process is alive", "content": {"application/json": {"schema": schema}}},
        },
    }


def _health_ready() -> Json:
    return {
        "operationId": "ready",
        "summary": "Is a release loaded?",
        "responses": {
            "200": _content("A release is loaded", "Readiness", None),
            "503": _no_release("Readiness"),
        },
    }


def _metrics() -> Json:
    return {
        "operationId": "metrics",
        "summary": "Counters in Prometheus's text format",
        "responses": {
            "200": {"description": "Series", "content": {"text/plain": {"schema": {"type": "string"}}}},
            "401": _content("The key is missing or unknown", "Error", None),
            "403": _content("The key may not read metrics", "Error", None),
        },
    }


def _openapi() -> Json:
    return {
        "operationId": "openapi",
        "summary": "This description",
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
    }


def _parameter(name: str, description: str) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": an_id()}


def _content(description: str, schema: str, example: Json | None) -> Json:
    media: Json = {"schema": reference(schema)}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {"application/json": media}}


def _refusals() -> Json:
    slow = {**_content("The rate limit of the key is used up", "Error", None), "headers": RETRY_AFTER}
    return {
        "401": _content("The key is missing or unknown", "Error", None),
        "403": _content("The key may not use this", "Error", None),
        "429": slow,
        "431": _content("The headers are longer than 64 KiB", "Error", None),
        "503": _no_release("Error"),
    }


def _no_release(schema: str) -> Json:
    return {**_content("No release is loaded yet, or too many requests wait", schema, None), "headers": RETRY_AFTER}
