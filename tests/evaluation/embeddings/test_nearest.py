"""The nearest rows: as a stable sort of all cosines gives them, in blocks of any size."""

import numpy as np
import pytest

from steelbench.evaluation.embeddings import nearest
from steelbench.evaluation.embeddings.embedded import unit_rows
from steelbench.evaluation.embeddings.nearest import nearest_rows


@pytest.mark.parametrize("cells", [1, 150, 10**6])
def test_blocks_give_what_a_sort_of_all_gives(monkeypatch, cells):
    rng = np.random.default_rng(0)
    # Few values, so that many cosines are equal.
    queries, index = rng.integers(0, 2, (40, 5)).astype(np.float32), rng.integers(0, 2, (60, 5)).astype(np.float32)
    whole = np.argsort(-(unit_rows(queries) @ unit_rows(index).T), axis=1, kind="stable")[:, :3]
    monkeypatch.setattr(nearest, "BLOCK_CELLS", cells)
    found = nearest_rows(queries, index, 3)
    if cells > 40 * 60:
        np.testing.assert_array_equal(found, whole)
    # A product of other shapes may round otherwise: the cosines are the same to the last digits.
    cosines = unit_rows(queries) @ unit_rows(index).T
    np.testing.assert_allclose(np.take_along_axis(cosines, found, 1), np.take_along_axis(cosines, whole, 1), atol=1e-6)


def test_a_small_index_gives_what_it_has():
    assert nearest_rows(np.ones((2, 3), np.float32), np.eye(3, dtype=np.float32)[:2], 5).tolist() == [[0, 1], [0, 1]]
    assert nearest_rows(np.ones((0, 3), np.float32), np.ones((4, 3), np.float32), 3).shape == (0, 3)
