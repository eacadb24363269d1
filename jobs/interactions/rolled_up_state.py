"""Rolled-up states: the partitions of `interactions` and `contexts`, each as of an hour."""

from __future__ import annotations

from larder.models.hours import as_of_partition, as_text
from larder.models.interactions.decay import Decay
from larder.models.tables import HOURLY_COUNTS
from larder.storage import Manifest, MissingPartitionError, Tables

SUFFIX = ".json"  # of a manifest


def rolled_up_state(tables: Tables, table: str, as_of: int) -> Manifest:
    """Returns the manifest of `table` (interactions or contexts) as of an hour.

    Raises MissingPartitionError, with the whole command that makes it.
    """
    found = tables.find(table, as_of_partition(as_of))
    if found is None:
        raise MissingPartitionError(
            f"table {table} has no partition {as_of_partition(as_of)} under {tables.root}; make it with "
            f"`{roll_up_command(tables, table, as_of)}`"
        )
    return found


def roll_up_command(tables: Tables, table: str, as_of: int) -> str:
    """Returns the command that makes the state as of an hour: from the newest state before it, else from empty."""
    manifests, before = tables.place(table) / "manifests", as_of_partition(as_of)
    states = [name.removesuffix(SUFFIX) for name in manifests.sizes() if name.endswith(SUFFIX)]
    states = [state for state in states if state < before]
    if states:
        return f"larder roll-up --start {max(states).partition('=')[2]} --end {as_text(as_of)}"
    hours = (tables.place(HOURLY_COUNTS) / "manifests").files()
    first = hours[0].path.removesuffix(SUFFIX).rsplit("/", 2)[1:] if hours else []
    start = "T".join(part.partition("=")[2] for part in first) or "FIRST_HOUR"
    return f"larder roll-up --start {start} --end {as_text(as_of)} --from-empty"


def decay_of(manifest: Manifest) -> Decay:
    """Returns the decay that the sums of a state are relative to."""
    return Decay(manifest.parameters["half_life"], manifest.parameters["landmark"])
