"""The sources that the bytes of a job's tables follow from, with digests that prose and layout do not change."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from repository import ROOT

ROOMS = ("larder.jobs", "larder.models", "larder.storage")
# How a job is started, watched and ended: no row passes through it.
AROUND_JOBS = ("larder.jobs.runtime",)


def source_digests(job: str) -> dict[str, str]:
    """Digests by module of all that `larder.jobs.JOB` imports of ours, directly or not, at once or in a function."""
    found: dict[str, str] = {}
    waiting = [f"larder.jobs.{job}"]
    while waiting:
        module = waiting.pop()
        path = path_of(module)
        if module in found or path is None or is_around(module):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += imports(tree)
        found[module] = digest(tree)
    return dict(sorted(found.items()))


def is_around(module: str) -> bool:
    return not f"{module}.".startswith(tuple(f"{room}." for room in ROOMS)) or module.startswith(AROUND_JOBS)


def path_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that may be meant: `a` and `a.b` for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def digest(tree: ast.Module) -> str:
    """The digest of the code alone: comments, layout, docstrings, annotations and imports do not count.

    Changes `tree`.
    """
    return hashlib.sha256(_as_text(_Bare().visit(tree)).encode()).hexdigest()[:12]


def _as_text(node: object) -> str:
    """The tree as text, the same on every Python, which `ast.dump` and `ast.unparse` are not."""
    if isinstance(node, ast.AST):
        fields = [f"{name}={_as_text(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_as_text, node))}]"
    return repr(node)


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_prose = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_prose else self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return ast.Pass()

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        # Some Pythons put an empty text after a nested format, as in f"{x:<{width}}".
        node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        return self.generic_visit(node)
