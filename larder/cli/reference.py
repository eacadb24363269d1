"""Writes the reference pages in docs/ from the code: `python -m larder.cli.reference`, or `make reference`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from larder.settings import Settings
from larder.settings.section import Section

DOCS = Path(__file__).parents[2] / "docs"
NOTE = "<!-- Written by `make reference` from the code. Do not edit. -->\n\n"
SETTINGS_INTRO = """\
# Settings

All settings stand in one TOML file. A command reads the file that `--settings` names, else `$LARDER_SETTINGS`, else
`larder.toml` in the working folder. Every setting has a default, so the file holds only what differs:

```toml
[storage]
events = "s3a://logs/events"

[als]
rank = 128
```

An environment variable wins over the file: `LARDER_ALS__RANK=128` sets `rank` of `[als]` (a double underscore between
section and setting; lists and tables as JSON). An unknown name, or a value outside its range, stops every command at
its start, with a message that names the setting. `larder doctor` prints the settings in force.
"""
CLI_INTRO = """\
# Commands

Every job of the pipeline is a verb of `larder` and a file for spark-submit; both take the same options. All windows are
half-open and in UTC hours: `--start 2025-03-01T00 --end 2025-03-02T00` is one day. `larder --install-completion`
completes verbs and options in your shell.
"""
DECISIONS_INTRO = """\
# Decisions

A page for every choice that someone may want to undo: what was decided, why, and what it costs.

"""
KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", SecretStr: "secret"}


def settings_page() -> str:
    """The text of docs/settings.md: a table for each section of `larder.toml`."""
    parts = [NOTE + SETTINGS_INTRO]
    for name, field in Settings.model_fields.items():
        if _is_section(field.annotation):
            parts += _sections(name, field.annotation)
        else:  # sections with names of their own
            parts += _inner_sections(name, field)
    return "\n".join(parts)


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _sections(name: str, section: type[Section]) -> Iterator[str]:
    """The tables of a section and of the sections within it."""
    fields = section.model_fields
    rows = [
        [f"`{field.alias or each}`", _kind_of(field), _default(field), field.description]
        for each, field in fields.items()
    ]
    head = ["setting", "value", "default", "meaning"]
    yield f"## [{name}]\n\n{inspect.getdoc(section)}\n\n{_table([head, *rows])}"
    for each, field in fields.items():
        yield from _inner_sections(f"{name}.{each}", field)


def _inner_sections(name: str, field: FieldInfo) -> Iterator[str]:
    """The tables of the sections that a setting holds, by name or one."""
    named = f"{name}.NAME" if get_origin(field.annotation) is dict else name
    for inner in get_args(field.annotation):
        if _is_section(inner):
            yield from _sections(named, inner)


def _kind_of(field: FieldInfo) -> str:
    return " ".join(filter(None, [_kind(field.annotation), _limits(field.metadata)]))


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in KINDS:
        return KINDS[annotation]
    if origin is Annotated:
        return " ".join(filter(None, [_kind(arguments[0]), _limits(arguments[1].metadata)]))
    if origin is Literal:
        return " or ".join(f'`"{each}"`' for each in arguments)
    if origin in (Union, UnionType):
        return _kind(arguments[0])
    if annotation is datetime:
        return "time"
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return "sections" if _is_section(arguments[1]) else f"table of {_kind(arguments[1])}"
    if _is_section(annotation):
        return "section"
    raise TypeError(f"no words for the type {annotation}")


def _limits(metadata: list[Any]) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    found = {word: getattr(each, word) for word in words for each in metadata if hasattr(each, word)}
    return " ".join(f"{words[word]} {value:,}" for word, value in found.items() if value is not None)


def _default(field: FieldInfo) -> str:
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def commands_page(app: typer.Typer, stages: Mapping[str, tuple[str, ...]]) -> str:
    """The text of docs/cli.md.

    Args:
        app: the command line.
        stages: the verbs of each stage, in the order of the page.
    """
    group = typer.main.get_command(app)
    parts = [NOTE + CLI_INTRO]
    for stage, verbs in stages.items():
        parts.append(f"## {stage.upper() if stage == 'als' else stage.capitalize()}\n")
        for verb in verbs:
            parts += _verbs(f"larder {verb}", group.commands[verb])  # type: ignore[attr-defined]
    return "\n".join(parts)


def _verbs(name: str, command: Any) -> Iterator[str]:
    """The parts of the page on a verb, or on the verbs of a group."""
    if hasattr(command, "commands"):
        for verb, inner in command.commands.items():
            yield from _verbs(f"{name} {verb}", inner)
        return
    context = command.make_context(name, [], resilient_parsing=True)
    script = Path("jobs") / f"{name.removeprefix('larder ').replace('-', '_').replace(' ', '_')}.py"
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    also = f", or `spark-submit {script}`" if (DOCS.parent / script).exists() else ""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [[f"`{option}`", meaning] for option, meaning in filter(None, records) if option != "--help"]
    table = _table([["option", "meaning"], *rows]) if rows else ""
    yield f"### {name}\n\n`{usage}`{also}\n\n{inspect.cleandoc(command.help or '')}\n\n{table}"


def _table(rows: list[list[Any]]) -> str:
    first, *rest = [f"| {' | '.join(_text(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([first, "|---" * len(rows[0]) + "|", *rest]) + "\n"


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())


def decisions_page() -> str:
    """The text of docs/decisions/index.md: the title of every page beside it."""
    titles = {path.name: path.read_text("utf-8").partition("\n")[0] for path in (DOCS / "decisions").glob("[0-9]*.md")}
    lines = [f"- [{title.removeprefix('# ')}]({name})\n" for name, title in sorted(titles.items())]
    return NOTE.replace("the code", "the pages beside it") + DECISIONS_INTRO + "".join(lines)


def pages() -> dict[Path, str]:
    """The path and the text of every page that `make reference` writes."""
    from larder.cli.main import STAGES, app

    return {
        DOCS / "settings.md": settings_page(),
        DOCS / "cli.md": commands_page(app, STAGES),
        DOCS / "decisions" / "index.md": decisions_page(),
    }


def main() -> None:
    """Writes the pages. With --check it writes nothing, and fails if a page is behind the code."""
    behind = {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}
    if "--check" in sys.argv[1:] and behind:
        sys.exit(f"behind the code: {', '.join(path.name for path in behind)}; run `make reference`")
    for path, text in behind.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
