"""The factors of a training, and the parameters they were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.jobs.interactions.rolled_up_state import rolled_up_state
from larder.models.als.als_parameters import AlsParameters
from larder.models.hours import as_of_partition, as_text
from larder.models.tables import INTERACTIONS, ITEM_FACTORS, USER_FACTORS, Table
from larder.storage import Manifest, MissingPartitionError, Tables


def model_of(tables: Tables, as_of: int) -> dict[Table, Manifest]:
    """The manifests of the interactions and of the factors of users and items as of an hour.

    Raises MissingPartitionError, also where user and item factors do not belong together.
    """
    partition, instant = as_of_partition(as_of), as_text(as_of)
    made_by = f"larder train-als --as-of {instant}"
    interactions = rolled_up_state(tables, INTERACTIONS, as_of)
    users, items = (tables.get(table, partition, made_by) for table in (USER_FACTORS, ITEM_FACTORS))
    if (users.inputs, users.parameters) != (items.inputs, items.parameters):
        raise MissingPartitionError(
            f"{USER_FACTORS} and {ITEM_FACTORS} of {partition} are not of one training: a later one was cut short; "
            f"run `{made_by}` again"
        )
    return {INTERACTIONS: interactions, USER_FACTORS: users, ITEM_FACTORS: items}


def parameters_of(als: Mapping[str, Any]) -> AlsParameters:
    """The parameters that [als] of the settings, or of a manifest, names."""
    return AlsParameters(**{name: value for name, value in als.items() if name != "engine"})
