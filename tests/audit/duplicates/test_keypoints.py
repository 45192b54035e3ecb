"""The search for keypoints in large images: its window has a bound, and flat images cost nothing."""

import numpy as np
import pytest

from steelbench.audit.duplicates import keypoints
from steelbench.audit.duplicates.keypoints import find_keypoints


def test_the_window_does_not_grow_beyond_its_bound(monkeypatch):
    windows = []
    found = keypoints._largest_within
    monkeypatch.setattr(keypoints, "_largest_within", lambda *given: windows.append(given[1]) or found(*given))
    monkeypatch.setattr(keypoints, "_LARGEST_WINDOW", 10)
    for side in (200, 800):
        find_keypoints(np.random.default_rng(0).uniform(0, 255, (side, side)).astype(np.float32))

    assert windows == [5, 5, 10, 10]


def test_a_flat_image_has_no_keypoints_and_is_not_searched(monkeypatch):
    monkeypatch.setattr("steelbench.audit.duplicates.keypoints.cv2.dilate", lambda *_: pytest.fail("searched"))

    assert len(find_keypoints(np.zeros((300, 400), np.float32)).places) == 0
