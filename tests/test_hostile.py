"""A slice of the hostile corpus: damaged inputs through the commands that take them, and what must not happen."""

import sys

import pytest
from hostile_corpus import ill, prepared, tried

# A case is told by its number, with which `tests/hostile_corpus.py --only` shows it.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="FIFOs, bytes in names and /proc")


def faults(folder, kind, cases):
    prepared(folder, networks=kind == "heavy")
    rows = tried(folder, 0, kind, range(cases))
    assert [row["number"] for row in rows] == list(range(cases))
    return [f"{kind}:{row['number']} {row['door']}: {ill(row)}" for row in rows if ill(row)]


@pytest.mark.slow
def test_damaged_data_and_results_are_refused_or_answered_right(tmp_path):
    assert faults(tmp_path, "light", 334) == []


@pytest.mark.slow
def test_damaged_models_and_images_are_refused_or_answered_right(tmp_path):
    assert faults(tmp_path, "heavy", 166) == []
