"""The description of the endpoint is valid, and says what the code does."""

from __future__ import annotations

import ast

import pytest
from repository import ROOT

from larder.lookup.answer.reasons import MEANINGS
from larder.lookup.http import openapi
from larder.lookup.http.application import LookupApp
from larder.lookup.http.openapi_schemas import ERROR_CODES
from larder.settings import LookupSettings, RedisSettings, Settings

DOCUMENT = openapi.document(LookupSettings())
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_it_is_valid_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(DOCUMENT)


def test_examples_fit_their_schemas() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checked = 0
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            media = [each for body in bodies for each in body.get("content", {}).values() if "example" in each]
            for each in media:
                schema = {**each["schema"], "components": DOCUMENT["components"]}
                jsonschema.validate(each["example"], schema, cls=jsonschema.Draft202012Validator)
                checked += 1
    assert checked >= 4


def test_it_lists_every_path() -> None:
    served = LookupApp(Settings(redis=RedisSettings(url="redis://127.0.0.1")))
    assert set(DOCUMENT["paths"]) == set(served._paths)


def test_it_lists_every_error_code() -> None:
    codes = set()
    for file in (ROOT / "larder" / "lookup").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"BadRequestError": 1, "error_json": 0}.get(node.func.id)
                if place is not None and isinstance(node.args[place], ast.Constant):
                    codes.add(node.args[place].value)
    assert codes == set(ERROR_CODES)


def test_the_manual_explains_every_code() -> None:
    manual = (ROOT / "docs" / "lookup.md").read_text()
    missing = [code for code in (*MEANINGS, *ERROR_CODES) if f"`{code}`" not in manual]
    assert missing == []
