"""The arguments that jobs share: settings, windows, instants. All times are UTC hours, named in full."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone

from larder.settings import Settings, SettingsError, load_settings

HOUR_FORMAT = "%Y-%m-%dT%H"
SECONDS_AN_HOUR = 3600


def job_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with --settings, for the job jobs/NAME.py."""
    parser = argparse.ArgumentParser(
        prog=f"{name}.py",
        description=description,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=100),
    )
    parser.add_argument(
        "--settings",
        type=settings_file,
        default=None,
        metavar="FILE",
        help="larder.toml (default: $LARDER_SETTINGS, else ./larder.toml)",
    )
    return parser


def add_window(parser: argparse.ArgumentParser) -> None:
    """--start and --end: a half-open window of whole hours."""
    parser.add_argument(
        "--start", type=hour, required=True, metavar="HOUR", help="first hour, like 2017-12-03T00 (UTC)"
    )
    parser.add_argument("--end", type=hour, required=True, metavar="HOUR", help="the hour after the last one (UTC)")


def add_as_of(parser: argparse.ArgumentParser) -> None:
    """--as-of: the instant up to which events are taken into account."""
    parser.add_argument(
        "--as-of",
        type=hour,
        required=True,
        metavar="HOUR",
        help="use what was known at this hour, like 2017-12-04T00 (UTC)",
    )


def parse(parser: argparse.ArgumentParser, argv: list[str] | None, may_be_empty: bool = False) -> argparse.Namespace:
    """Parses and completes: `settings` is a Settings, and a window is not empty unless it may be.

    Exits with 2 on an error.
    """
    arguments = parser.parse_args(argv)
    if arguments.settings is None:
        try:
            arguments.settings = load_settings()
        except SettingsError as error:
            parser.error(str(error))
    if "start" in arguments and arguments.start >= arguments.end + may_be_empty:
        parser.error(f"--start {as_text(arguments.start)} is not before --end {as_text(arguments.end)}")
    return arguments


def settings_file(path: str) -> Settings:
    try:
        return load_settings(path)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def hour(text: str) -> int:
    """Hours since 1970-01-01T00 UTC of `2017-12-04T00` (also `2017-12-04` and `2017-12-04T00:00:00Z`)."""
    for pattern in (HOUR_FORMAT, "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00"):
        try:
            moment = datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
        seconds = int(moment.timestamp())
        if seconds % SECONDS_AN_HOUR:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole hour")
        return seconds // SECONDS_AN_HOUR
    raise argparse.ArgumentTypeError(f"{text!r} is not an hour like 2017-12-04T00")


def window(start: str, end: str) -> range:
    """The hours from `start` up to `end`, as texts. Raises ArgumentTypeError, also where there is none."""
    hours = range(hour(start), hour(end))
    if not hours:
        raise argparse.ArgumentTypeError(f"--start {start} is not before --end {end}")
    return hours


def moment(text: str) -> datetime:
    """A time like `2017-12-04T01:10:00Z`; UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2017-12-04T01:10:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def add_now(parser: argparse.ArgumentParser) -> None:
    """--now: for events.quiet_minutes, so that no job looks at a clock of its own."""
    parser.add_argument(
        "--now",
        type=moment,
        default=None,
        metavar="TIME",
        help="the time, like 2017-12-04T01:10:00Z; needed where events.quiet_minutes is set",
    )


def as_text(hour_number: int) -> str:
    """`2017-12-04T00` of an hour number."""
    return datetime.fromtimestamp(hour_number * SECONDS_AN_HOUR, timezone.utc).strftime(HOUR_FORMAT)


def hour_partition(hour_number: int) -> str:
    """`dt=2017-12-04/hr=00`: the folder of an hour, in events and in hourly tables alike."""
    date, hr = as_text(hour_number).split("T")
    return f"dt={date}/hr={hr}"


def as_of_partition(hour_number: int) -> str:
    """`as_of=2017-12-04T00`: the partition of a table that stands for an instant."""
    return f"as_of={as_text(hour_number)}"
