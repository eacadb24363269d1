"""The vision bench's pictures, and its estimate from the cost of rounds."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.openclipart import write_catalogue
from bench.vision import _forecast, engines
from bench.vision_pictures import LEAVES, read_drawn, write_drawn


def test_pictures_have_their_leaf_and_its_ancestors(tmp_path: Path) -> None:
    write_drawn(tmp_path / "drawn.npz", 2 * len(LEAVES), len(LEAVES), 16)
    drawn = read_drawn(tmp_path / "drawn.npz")
    assert drawn.train.pixels.shape == (2 * len(LEAVES), 16, 16, 3)
    assert (drawn.train.labels.sum(axis=1) == 3).all()
    assert len(set(drawn.test.leaves)) == len(LEAVES) == len(drawn.columns)
    assert drawn.accuracy(drawn.test.labels.astype(np.float32)) == 1
    assert drawn.accuracy(np.zeros_like(drawn.test.labels, np.float32)) == pytest.approx(1 / len(LEAVES))


def test_the_forecast_is_a_line_through_what_rounds_cost() -> None:
    rounds = {
        name: {"training": 9.0, "broadcast": 0.1, "collecting": 0.02 * workers}
        for name, workers in (("ours, 1 worker", 1), ("ours", 2), ("ours, 4 workers", 4))
    }
    found = _forecast(rounds, argparse.Namespace(gpu_rate=1000.0))
    assert found["round_cost_seconds"] == "0.100 + 0.020 * workers = 0.260"
    assert found["seconds_a_round_for_0.9"] == pytest.approx(0.26 * 9)
    assert found["pictures_a_gpu_and_round"] == "2.34 s * 1,000/s = 2,340"


def test_engines_are_known_before_any_begins() -> None:
    assert engines("elephas; ours") == ["elephas", "ours"]
    assert "ours" in engines("") and "elephas, asynchronous" not in engines("")
    with pytest.raises(argparse.ArgumentTypeError, match="must name 'ours'"):
        engines("keras")
    with pytest.raises(argparse.ArgumentTypeError, match=r"no engines: \['tensorflow'\]"):
        engines("ours;tensorflow")


@pytest.mark.parametrize(("most", "expected"), [(0, 25), (7, 7), (24, 24), (99, 25)])
def test_so_many_pictures_of_all_folders(tmp_path: Path, most: int, expected: int) -> None:
    for number in range(25):
        folder = tmp_path / str(number // 5)
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.png").touch()
    names = pq.read_table(write_catalogue(tmp_path, tmp_path / "catalogue.parquet", most))["image"].to_pylist()
    assert len(set(names)) == len(names) == expected
    assert {name[0] for name in names} == set("01234")
