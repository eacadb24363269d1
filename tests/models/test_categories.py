"""Category paths as numbers."""

from __future__ import annotations

from models.categories import categories_of


def test_each_beginning_of_a_path_has_a_number() -> None:
    paths = ["Food/Dairy/Milk", "Food/Dairy/Cheese/Hard", "Food/Dairy/Cheese/Soft", "Food", None, "Fuel/Dairy"]
    found = categories_of(paths)
    department, aisle, whole = found.levels.T.tolist()
    assert department == [0, 0, 0, 0, -1, 1]
    assert aisle == [1, 1, 1, 0, -1, 2]  # `Food` alone, Food/Dairy, Fuel/Dairy
    assert len(set(whole)) == len(paths)
    assert whole[4] == -1
    assert found.whole.tolist() == whole


def test_no_products() -> None:
    assert categories_of([]).levels.shape == (0, 3)
