"""Blocks of users from files of interactions: numbers that can't collide, and values beyond belief."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from larder.jobs.als import interaction_blocks, spark_solver
from larder.jobs.als.block_files import BlockFiles
from larder.jobs.als.interaction_blocks import ConfidenceRangeError, UnsortedTableError
from larder.storage import StoragePath

IDS = pa.array(["a", "b"])


def write_blocks(
    folder: Path, file: int, cookies: list[int], most: int, factor: float = 1.0, strength: int = 2
) -> dict[int, list[int]]:
    """The cookies of each block that a file of interactions is made into; each cookie has both products."""
    table = pa.table(
        {
            "cookie_key": pa.array(np.repeat(np.array(cookies, np.int64), 2)),
            "product_id": pa.array(["a", "b"] * len(cookies)),
            "strength": pa.array([strength] * (2 * len(cookies)), pa.int64()),
        }
    )
    folder.mkdir(exist_ok=True)
    uri = str(folder / f"part-{file}.parquet")
    pq.write_table(table, uri)
    blocks = BlockFiles(StoragePath(str(folder / "scratch")), ())
    numbers = interaction_blocks._write_file(blocks, file, uri, IDS, factor, most)
    return {number: blocks.interactions(number).cookies.tolist() for number in numbers}


def test_blocks_of_one_file_never_take_the_numbers_of_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would have too many blocks has larger ones."""
    monkeypatch.setattr(interaction_blocks, "BLOCKS_A_FILE", 4)
    first = write_blocks(tmp_path, 0, list(range(9)), most=2)
    second = write_blocks(tmp_path, 1, list(range(20, 23)), most=2)
    assert sorted(cookie for block in first.values() for cookie in block) == list(range(9))
    assert max(first) < 4 <= min(second)
    assert second == {4: [20], 5: [21], 6: [22]}


def test_cookies_far_apart_are_in_order(tmp_path: Path) -> None:
    """Their difference is beyond 64 bits."""
    ends = [-(2**63), 2**63 - 1]
    assert write_blocks(tmp_path, 0, ends, most=1000) == {0: ends}
    with pytest.raises(UnsortedTableError, match=r"part-1\.parquet is not in the order of cookie_key"):
        write_blocks(tmp_path, 1, ends[::-1], most=1000)


def test_a_confidence_beyond_single_precision_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfidenceRangeError, match=r"part-0\.parquet has a strength of 9e\+18, .* lower als\.alpha"):
        write_blocks(tmp_path, 0, [1], most=10, factor=1e30, strength=9 * 10**18)


def test_factors_of_more_floats_than_32_bits_count_are_written_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = np.arange(21, dtype=np.float32).reshape(7, 3)
    monkeypatch.setattr(spark_solver, "MOST_FLOATS", 8)
    lists = spark_solver.as_lists(factors)
    assert lists.to_pylist() == factors.tolist()
    assert lists.num_chunks == 4
    assert spark_solver.as_lists(factors[:0]).to_pylist() == []
