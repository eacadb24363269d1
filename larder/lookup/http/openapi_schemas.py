"""What questions and answers look like, as JSON Schema for the description in OpenAPI."""

from __future__ import annotations

from typing import Any

from larder.lookup.answer.reasons import MEANINGS
from larder.lookup.answer.routes import CATEGORY, ROUTES, STATUSES
from larder.lookup.answer.scenes import DEFAULT, scenes_from
from larder.lookup.http.query import MAX_ID_BYTES
from larder.lookup.release.generic_lists import LEVELS
from larder.settings import LookupSettings

Json = dict[str, Any]

ERROR_CODES = (
    "batch_too_large",
    "body_too_large",
    "headers_too_large",
    "id_too_long",
    "internal",
    "invalid_encoding",
    "invalid_http",
    "invalid_json",
    "invalid_n",
    "invalid_type",
    "method_not_allowed",
    "no_release",
    "not_found",
    "repeated_parameter",
    "overloaded",
    "rate_limited",
    "request_timeout",
    "too_many_products",
    "unauthorised",
    "unknown_parameter",
    "unknown_scene",
    "upgrade_with_body",
    "uri_too_long",
)


def schemas(limits: LookupSettings) -> Json:
    """By name, as components of the description."""
    text = {"type": ["string", "null"], "maxLength": MAX_ID_BYTES}
    return {
        "Question": closed(
            [],
            cookie=text,
            product={"oneOf": [text, {"type": "array", "items": text}]},
            location=text,
            device=text,
            n={**an_n(limits), "type": ["integer", "null"]},
            exclude={"oneOf": [text, {"type": "array", "items": text}]},
            scene={**a_scene(limits), "enum": [None, *a_scene(limits)["enum"]]},
            explain={"type": ["boolean", "null"]},
        ),
        "Batch": closed(
            ["requests"],
            requests={"type": "array", "maxItems": limits.max_batch, "items": reference("Question")},
        ),
        "Item": closed(
            ["id", "score", "route"],
            id={"type": "string"},
            score={
                "type": ["number", "null"],
                "minimum": 0,
                "description": "comparable within a route only; null where the release has no scores",
            },
            route={"enum": list(ROUTES)},
        ),
        "Route": closed(
            ["route", "status", "reason", "level"],
            route={"enum": list(ROUTES)},
            status={
                "enum": list(STATUSES),
                "description": "used: the first to give products; filled: gave what those before lacked; "
                "skipped: gave none",
            },
            reason={"enum": [*MEANINGS, None], "description": _meanings()},
            level={
                "enum": [*LEVELS, CATEGORY, None],
                "description": f"which generic list was taken; {CATEGORY}: the similar list, of a product without a "
                "picture, is of what sells in its category",
            },
        ),
        "Answer": closed(
            ["items", "release", "as_of", "age_seconds", "request_id", "routes"],
            items={"type": "array", "maxItems": limits.max_n, "items": reference("Item")},
            release={"type": "string"},
            as_of={"type": "string", "format": "date-time"},
            age_seconds={"type": "integer", "minimum": 0},
            request_id={"type": "string"},
            routes={
                "type": "array",
                "minItems": 1,
                "maxItems": len(ROUTES),
                "items": reference("Route"),
            },
            explain=reference("Explanation"),
        ),
        "Explanation": closed(
            [],
            scene={"type": "string"},
            records={"type": "array", "items": _record()},
            generic_lists={"type": "integer", "description": "how many are in process"},
            snapshot={"type": "boolean", "description": "the release comes from the disk"},
            masked_products={"type": "integer", "description": "products that nobody is shown"},
            masks_problem={"type": ["string", "null"], "description": "why masks may be out of date"},
            seen_products={"type": "integer", "description": "products that this visitor is not shown"},
            milliseconds={"type": "number", "description": "from the question to its products"},
        ),
        "BatchAnswer": closed(
            ["responses"],
            responses={
                "type": "array",
                "items": {"oneOf": [closed(["answer"], answer=reference("Answer")), reference("Error")]},
            },
        ),
        "Error": closed(
            ["error"],
            error=closed(["code", "message"], code={"enum": list(ERROR_CODES)}, message={"type": "string"}),
        ),
        "Readiness": closed(
            ["ready", "release", "age_seconds", "problem", "redis"],
            ready={"type": "boolean"},
            release={"type": ["string", "null"]},
            age_seconds={"type": ["integer", "null"]},
            problem={
                "type": ["string", "null"],
                "description": "why the live release is not the one that is served",
            },
            redis=closed(["up", "problem"], up={"type": "boolean"}, problem={"type": ["string", "null"]}),
        ),
    }


def _record() -> Json:
    text: Json = {"type": "string"}
    return closed(
        ["route", "id", "key", "field"],
        route={"enum": list(ROUTES)},
        id=text,
        key={**text, "description": "of Redis"},
        field={**text, "description": "of the hash, in hexadecimal"},
    )


def _meanings() -> str:
    return "; ".join(f"{code}: {meaning}" for code, meaning in MEANINGS.items())


def closed(required: list[str], **properties: Json) -> Json:
    """An object with these properties and no others."""
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def reference(name: str) -> Json:
    """To a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_id() -> Json:
    """An id of a parameter."""
    return {
        "type": "string",
        "maxLength": MAX_ID_BYTES,
        "description": f"at most {MAX_ID_BYTES} bytes of UTF-8",
    }


def an_n(limits: LookupSettings) -> Json:
    """How many products are wanted."""
    return {"type": "integer", "minimum": 1, "maximum": limits.max_n, "default": min(limits.n, limits.max_n)}


def a_scene(limits: LookupSettings) -> Json:
    """The name of a scene."""
    return {"enum": list(scenes_from(limits)), "default": DEFAULT}
