"""Labels follow the hierarchy of the category path."""

from __future__ import annotations

import numpy as np

from larder.models.encoding.category_paths import path_prefixes
from larder.models.vision.network import label_list, label_matrix, label_shares

PRODUCTS = {"Grocery/Dairy/Milk": 3, "Grocery/Dairy/Butter": 1, "Grocery/Bread": 2, "Pets": 1, None: 5, "": 2}


def test_a_label_needs_enough_products_and_counts_its_descendants() -> None:
    assert label_list(PRODUCTS, 1) == [
        "Grocery", "Grocery/Bread", "Grocery/Dairy", "Grocery/Dairy/Butter", "Grocery/Dairy/Milk", "Pets",
    ]  # fmt: skip
    assert label_list(PRODUCTS, 3) == ["Grocery", "Grocery/Dairy", "Grocery/Dairy/Milk"]
    assert label_list(PRODUCTS, 7) == []


def test_a_leaf_implies_its_ancestors_even_where_it_is_no_label_itself() -> None:
    labels = label_list(PRODUCTS, 3)
    matrix = label_matrix(["Grocery/Dairy/Milk", "Grocery/Dairy/Butter", "Pets", None], labels)
    assert matrix.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_no_label_without_all_its_ancestors() -> None:
    for least in range(1, 8):
        labels = label_list(PRODUCTS, least)
        assert all(set(path_prefixes(label)) <= set(labels) for label in labels)


def test_shares_are_of_all_products() -> None:
    np.testing.assert_allclose(label_shares(PRODUCTS, ["Grocery", "Pets"]), [6 / 14, 1 / 14], rtol=1e-6)
