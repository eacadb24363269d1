"""A change of the code behind a table is noticed, so that somebody decides whether its logic version must rise.

`python tests/compatibility/test_logic_versions.py` writes logic_versions.json anew: after a version was raised, or if
the change leaves the bytes of every table as they were.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

ON_FILE = Path(__file__).with_name("logic_versions.json")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from table_sources import digest, source_digests  # noqa: E402

from larder.models.tables import LOGIC, TABLES  # noqa: E402
from larder.storage.manifests import plan_run  # noqa: E402


def test_each_job_that_writes_tables_has_a_version() -> None:
    assert {table.made_by for table in TABLES} == set(LOGIC)


def test_the_version_is_what_a_fingerprint_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs() -> dict[str, str]:
        return {table: plan_run(table, "p", {}, {}).run for table in TABLES}

    before = runs()
    monkeypatch.setattr("larder.storage.manifests.code_version", lambda: "99.0")
    assert runs() == before
    monkeypatch.setitem(LOGIC, "roll_up", "99.0")
    assert {table for table, run in runs().items() if run != before[table]} == {"interactions", "contexts"}


@pytest.mark.parametrize("job", LOGIC)
def test_changed_code_has_another_version_or_was_judged_to_change_no_byte(job: str) -> None:
    on_file, digests = json.loads(ON_FILE.read_text())[job], source_digests(job)
    changed = sorted(
        name for name in {*on_file["sources"], *digests} if on_file["sources"].get(name) != digests.get(name)
    )
    told = (
        f"code behind the tables of {job} changed: {', '.join(changed)}. If the same inputs now give other bytes, "
        f"raise LOGIC[{job!r}] in models/tables.py. Then run `python tests/compatibility/test_logic_versions.py`."
    )
    assert (on_file["logic"], changed) == (LOGIC[job], []), told


def test_prose_and_layout_are_no_change() -> None:
    plain = 'def f(x):\n    """Says."""\n    return x + 1\n'
    same = 'def f(x: int) -> int:\n    """Tells."""\n\n    # why\n    return (x + 1)\n'
    other = 'def f(x):\n    """Says."""\n    return x + 2\n'
    digests = [digest(ast.parse(text)) for text in (plain, same, other)]
    assert digests[0] == digests[1] != digests[2]


if __name__ == "__main__":
    kept = {job: {"logic": logic, "sources": source_digests(job)} for job, logic in LOGIC.items()}
    ON_FILE.write_text(json.dumps(kept, indent=1) + "\n")
