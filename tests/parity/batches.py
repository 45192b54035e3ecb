"""The random batches that the other libraries are asked about, and the file that their answers go to.

Runs in the environments of `make parity`, which have NumPy and one of those libraries, not steelbench.
"""

import json
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
TEMPERATURE, MARGIN, SCALE, ANGLE = 0.1, 0.5, 30.0, 0.5
# Class of each image; "tight" and "opposite" say where the embeddings lie.
LABELS = {
    "balanced": [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
    "pairs": [0, 1, 2, 3, 4, 0, 1, 2, 3, 4],
    "unbalanced": [0, 1, 0, 0, 2, 0, 1, 2, 0, 0, 0, 1],
    "lonely": [0, 0, 1, 1, 1, 0, 0, 2, 1],
    "tight": [1, 0, 1, 0, 0, 1, 2, 2],
}


def unit(x):
    """Rows of norm 1, float32."""
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def batches(dim=6):
    """Name to labels and unit embeddings float32 [B, dim]."""
    rng = np.random.default_rng(2004)
    found = {}
    for name, labels in LABELS.items():
        x = rng.standard_normal((len(labels), dim))
        found[name] = labels, unit(0.2 * x + 1 if name == "tight" else x)
    return found


def pairs(count=16):
    """Whether each pair is of one class, and its distance: some beyond the margin of 1, one at 0."""
    rng = np.random.default_rng(2006)
    distances = np.append(0, rng.uniform(0, 1.6, count - 1)).astype(np.float32)
    return rng.integers(0, 2, count).tolist(), distances


def class_vectors(count=3, dim=6):
    """Unit vectors float32 [count, dim]."""
    return unit(np.random.default_rng(1801).standard_normal((count, dim)))


def numbers(array):
    """Nested lists with as few digits as give the same float32 again."""
    array = np.asarray(array, np.float32)
    return [numbers(row) for row in array] if array.ndim else float(str(array))


def write(name, versions, cases):
    """One line for each case, so that a difference can be read."""
    lines = ",\n".join(f"  {json.dumps(case)}: {json.dumps(content)}" for case, content in cases.items())
    text = f'{{\n"versions": {json.dumps(versions)},\n"cases": {{\n{lines}\n}}\n}}\n'
    (FIXTURES / f"{name}.json").write_text(text, encoding="utf-8")
