"""Blocks of columns: together all columns, and the same means and deviations, bit for bit, as of the whole array."""

import numpy as np
import pytest

from steelbench.arrays import column_blocks


@pytest.mark.parametrize(("columns", "most"), [(1, 1), (9, 1), (137, 8 * 300 * 8), (64, 8 * 300 * 33), (5, 10**9)])
def test_blocks_of_columns_change_no_bit(columns, most):
    features = np.random.default_rng(0).gamma(0.5, size=(300, columns)).astype(np.float32)
    blocks = list(column_blocks(features, most))
    np.testing.assert_array_equal(np.concatenate([features[:, own] for own in blocks], axis=1), features)
    for of in (
        lambda x: x.mean(axis=0, dtype=np.float64),
        lambda x: x.std(axis=0, dtype=np.float64),
        lambda x: x.astype(np.float64).var(axis=0),
    ):
        np.testing.assert_array_equal(np.concatenate([of(features[:, own]) for own in blocks]), of(features))


def test_a_small_array_is_one_block_and_a_large_one_many():
    assert len(list(column_blocks(np.empty((1800, 2048), np.float32)))) == 1
    # 100,000 images: no block of more than 256 MB in float64.
    large = np.broadcast_to(np.float32(0), (100_000, 1280))
    assert all(8 * 100_000 * (own.stop - own.start) <= 256 * 2**20 for own in column_blocks(large))
