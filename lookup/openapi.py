"""The endpoint's description in OpenAPI 3.1; what it says of limits is what the settings say."""

from __future__ import annotations

from typing import Any

from lookup.generic import LEVELS
from lookup.questions import MAX_ID_BYTES
from lookup.reasons import MEANINGS
from lookup.routing import ROUTES, STATUSES
from lookup.scenes import DEFAULT, scenes_from
from settings.sections import Lookup

Json = dict[str, Any]

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
ERROR_CODES = (
    "batch_too_large",
    "body_timeout",
    "body_too_large",
    "id_too_long",
    "internal",
    "invalid_encoding",
    "invalid_json",
    "invalid_n",
    "invalid_type",
    "method_not_allowed",
    "no_release",
    "not_found",
    "repeated_parameter",
    "overloaded",
    "rate_limited",
    "too_many_products",
    "unauthorised",
    "unknown_parameter",
    "unknown_scene",
)
RETRY_AFTER: Json = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
REQUEST_ID: Json = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "comes back as request_id where it is made of 1 to 128 letters, digits and ._:/+=@-; "
    "else one is generated",
    "schema": {"type": "string"},
}


def document(limits: Lookup) -> Json:
    """The whole description as a dictionary ready for JSON."""
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
        "components": {"schemas": _schemas(limits)},
    }


def _recommendations(limits: Lookup) -> Json:
    return {
        "operationId": "recommend",
        "summary": "One visitor's products",
        "parameters": [
            _parameter("cookie", "the visitor"),
            {
                "name": "product",
                "in": "query",
                "required": False,
                "description": "a product looked at or in the basket; may be repeated",
                "style": "form",
                "explode": True,
                "schema": {"type": "array", "maxItems": limits.max_products, "items": _id()},
                "example": ["milk"],
            },
            {
                "name": "exclude",
                "in": "query",
                "required": False,
                "description": "a product not to be shown, such as one of the basket; may be repeated",
                "style": "form",
                "explode": True,
                "schema": {"type": "array", "maxItems": limits.max_exclude, "items": _id()},
            },
            _parameter("location", "where the visitor is"),
            _parameter("device", "what the visitor uses"),
            {
                "name": "n",
                "in": "query",
                "required": False,
                "description": "products wanted",
                "schema": _n(limits),
            },
            {
                "name": "scene",
                "in": "query",
                "required": False,
                "description": "the place of the site that asks",
                "schema": _scene(limits),
            },
            {
                "name": "explain",
                "in": "query",
                "required": False,
                "description": "1: say how the answer came about",
                "schema": {"enum": ["0", "1"]},
            },
            REQUEST_ID,
        ],
        "responses": {
            "200": _content("The answer", "Answer", ANSWER_EXAMPLE),
            "400": _content("A parameter does not fit", "Error", ERROR_EXAMPLE),
            "414": {"description": "The line has more than 64 KiB; ask by the batch call, whose body may be longer"},
            **_refusals(),
        },
    }


def _batch() -> Json:
    request = {"requests": [{"cookie": "c1", "n": 2}, {"product": ["milk", "bread"]}]}
    answers = {"responses": [{"answer": ANSWER_EXAMPLE}, ERROR_EXAMPLE]}
    return {
        "operationId": "recommendBatch",
        "summary": "Many questions in one call, each with its answer or error, in their order",
        "parameters": [REQUEST_ID],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Batch"), "example": request}},
        },
        "responses": {
            "200": _content("An answer or error for each question", "BatchAnswer", answers),
            "400": _content("The body is no batch", "Error", ERROR_EXAMPLE),
            "408": _content("The body did not arrive in time", "Error", None),
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
        "summary": "Is the process there?",
        "responses": {
            "200": {"description": "It is", "content": {"application/json": {"schema": schema}}},
        },
    }


def _health_ready() -> Json:
    return {
        "operationId": "ready",
        "summary": "Is a release loaded?",
        "responses": {
            "200": _content("It is", "Readiness", None),
            "503": _no_release("Readiness"),
        },
    }


def _metrics() -> Json:
    return {
        "operationId": "metrics",
        "summary": "Counters in Prometheus's text format",
        "responses": {
            "200": {"description": "Series", "content": {"text/plain": {"schema": {"type": "string"}}}},
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


def _schemas(limits: Lookup) -> Json:
    text = {"type": ["string", "null"], "maxLength": MAX_ID_BYTES}
    return {
        "Question": _closed(
            [],
            cookie=text,
            product={"oneOf": [text, {"type": "array", "items": text}]},
            location=text,
            device=text,
            n={**_n(limits), "type": ["integer", "null"]},
            exclude={"oneOf": [text, {"type": "array", "items": text}]},
            scene={**_scene(limits), "enum": [None, *_scene(limits)["enum"]]},
            explain={"type": ["boolean", "null"]},
        ),
        "Batch": _closed(
            ["requests"],
            requests={"type": "array", "maxItems": limits.max_batch, "items": _ref("Question")},
        ),
        "Item": _closed(
            ["id", "score", "route"],
            id={"type": "string"},
            score={
                "type": ["number", "null"],
                "minimum": 0,
                "description": "comparable within a route only; null where the release has no scores",
            },
            route={"enum": list(ROUTES)},
        ),
        "Route": _closed(
            ["route", "status", "reason", "level"],
            route={"enum": list(ROUTES)},
            status={
                "enum": list(STATUSES),
                "description": "used: the first to give products; filled: gave what those before lacked; "
                "skipped: gave none",
            },
            reason={"enum": [*MEANINGS, None], "description": _meanings()},
            level={"enum": [*LEVELS, None], "description": "which generic list was taken"},
        ),
        "Answer": _closed(
            ["items", "release", "as_of", "age_seconds", "request_id", "routes"],
            items={"type": "array", "maxItems": limits.max_n, "items": _ref("Item")},
            release={"type": "string"},
            as_of={"type": "string", "format": "date-time"},
            age_seconds={"type": "integer", "minimum": 0},
            request_id={"type": "string"},
            routes={
                "type": "array",
                "minItems": 1,
                "maxItems": len(ROUTES),
                "items": _ref("Route"),
            },
        ),
        "BatchAnswer": _closed(
            ["responses"],
            responses={
                "type": "array",
                "items": {"oneOf": [_closed(["answer"], answer=_ref("Answer")), _ref("Error")]},
            },
        ),
        "Error": _closed(
            ["error"],
            error=_closed(["code", "message"], code={"enum": list(ERROR_CODES)}, message={"type": "string"}),
        ),
        "Readiness": _closed(
            ["ready", "release", "age_seconds", "problem", "redis"],
            ready={"type": "boolean"},
            release={"type": ["string", "null"]},
            age_seconds={"type": ["integer", "null"]},
            problem={
                "type": ["string", "null"],
                "description": "why the live release is not the one that is served",
            },
            redis=_closed(["up", "problem"], up={"type": "boolean"}, problem={"type": ["string", "null"]}),
        ),
    }


def _meanings() -> str:
    return "; ".join(f"{code}: {meaning}" for code, meaning in MEANINGS.items())


def _closed(required: list[str], **properties: Json) -> Json:
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _id() -> Json:
    return {
        "type": "string",
        "maxLength": MAX_ID_BYTES,
        "description": f"at most {MAX_ID_BYTES} bytes of UTF-8",
    }


def _n(limits: Lookup) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": limits.max_n, "default": min(limits.n, limits.max_n)}


def _parameter(name: str, description: str) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": _id()}


def _content(description: str, schema: str, example: Json | None) -> Json:
    media: Json = {"schema": _ref(schema)}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {"application/json": media}}


def _scene(limits: Lookup) -> Json:
    return {"enum": list(scenes_from(limits)), "default": DEFAULT}


def _refusals() -> Json:
    slow = {**_content("The key's questions a second are used up", "Error", None), "headers": RETRY_AFTER}
    return {
        "401": _content("No key, or none that is known", "Error", None),
        "429": slow,
        "503": _no_release("Error"),
    }


def _no_release(schema: str) -> Json:
    return {**_content("No release is loaded yet, or too many requests wait", schema, None), "headers": RETRY_AFTER}
