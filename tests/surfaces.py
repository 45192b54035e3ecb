"""Images of surfaces that share nothing unless a test plants it."""

import cv2
import numpy as np


def surface(seed, height=160, width=160):
    """Grain over blotches, as rolled steel has it; gray uint8 [height, width]."""
    rng = np.random.default_rng(seed)
    fine = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 0.9)
    coarse = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 6)
    return np.clip(120 + 9 * fine / fine.std() + 12 * coarse / coarse.std(), 0, 255).astype(np.uint8)
