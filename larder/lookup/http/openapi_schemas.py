"""JSON Schemas of queries and answers, for the OpenAPI description."""

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
    "forbidden",
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
    "unknown_arm",
    "unknown_parameter",
    "unknown_scene",
    "upgrade_with_body",
    "uri_too_long",
)


def schemas(limits: LookupSettings) -> Json:
    """Returns the schemas by name."""
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
            arm=text,
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
                "description": "comparable only within a route; null if the release has no scores",
            },
            route={"enum": list(ROUTES)},
        ),
        "Route": closed(
            ["route", "status", "reason", "level"],
            route={"enum": list(ROUTES)},
            status={
                "enum": list(STATUSES),
                "description": "used: the first route that gave products; filled: gave missing products; "
                "skipped: gave none",
            },
            reason={"enum": [*MEANINGS, None], "description": _meanings()},
            level={
                "enum": [*LEVELS, CATEGORY, None],
                "description": f"the level of the generic list; {CATEGORY}: the similar list has the best sellers "
                "of the product's category, because the product has no picture",
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
            experiments={
                "type": "array",
                "minItems": 1,
                "items": reference("GivenArm"),
                "description": "the arms that this request is in; missing if there are none",
            },
            explain=reference("Explanation"),
        ),
        "GivenArm": closed(
            ["experiment", "arm"],
            experiment={"type": "string"},
            arm={"type": "string"},
            forced={"const": True, "description": "the caller named the arm"},
        ),
        "Explanation": closed(
            [],
            scene={"type": "string"},
            policy={"type": ["string", "null"], "description": "how items were drawn; null if none was"},
            records={"type": "array", "items": _record()},
            generic_lists={"type": "integer", "description": "number of generic lists cached in the worker"},
            snapshot={"type": "boolean", "description": "true if the release is the snapshot on disk"},
            masked_products={"type": "integer", "description": "number of products masked for every visitor"},
            masks_problem={"type": ["string", "null"], "description": "why the masks may be outdated"},
            seen_products={"type": "integer", "description": "number of products hidden from this visitor"},
            milliseconds={"type": "number", "description": "milliseconds from the query to its items"},
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
            ["ready", "release", "age_seconds", "problem", "losses", "experiments", "redis"],
            ready={"type": "boolean"},
            release={"type": ["string", "null"]},
            age_seconds={"type": ["integer", "null"]},
            problem={
                "type": ["string", "null"],
                "description": "what is wrong with the live release, or why another one is served",
            },
            losses={
                "type": "object",
                "description": "number of missing records or keys of the live release, by part",
                "additionalProperties": {"type": "integer"},
            },
            experiments=closed(
                ["in_force", "problem", "releases"],
                in_force={"type": "array", "items": {"type": "string"}},
                problem={"type": ["string", "null"], "description": "why the experiments in force may be outdated"},
                releases={
                    "type": "object",
                    "description": "what is wrong with each release that an arm serves beside the live one, or null",
                    "additionalProperties": {"type": ["string", "null"]},
                },
            ),
            redis=closed(["up", "problem"], up={"type": "boolean"}, problem={"type": ["string", "null"]}),
        ),
    }


def _record() -> Json:
    text: Json = {"type": "string"}
    return closed(
        ["route", "id", "key", "field"],
        route={"enum": list(ROUTES)},
        id=text,
        key={**text, "description": "Redis key"},
        field={**text, "description": "field of the Redis hash, in hexadecimal"},
    )


def _meanings() -> str:
    return "; ".join(f"{code}: {meaning}" for code, meaning in MEANINGS.items())


def closed(required: list[str], **properties: Json) -> Json:
    """Returns the schema of an object with these properties and no others."""
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def reference(name: str) -> Json:
    """Returns a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_id() -> Json:
    """Returns the schema of an id."""
    return {
        "type": "string",
        "maxLength": MAX_ID_BYTES,
        "description": f"at most {MAX_ID_BYTES} bytes of UTF-8",
    }


def an_n(limits: LookupSettings) -> Json:
    """Returns the schema of `n`."""
    return {"type": "integer", "minimum": 1, "maximum": limits.max_n, "default": min(limits.n, limits.max_n)}


def a_scene(limits: LookupSettings) -> Json:
    """Returns the schema of a scene name."""
    return {"enum": list(scenes_from(limits)), "default": DEFAULT}
