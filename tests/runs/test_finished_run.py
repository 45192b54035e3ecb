"""The neighbours of wrong answers: of all of a small run, of the surest ones where there are very many."""

from types import SimpleNamespace

import numpy as np
import pytest

from steelbench.csv_files import read_csv
from steelbench.data.splits import Split


@pytest.mark.parametrize(("most", "sought"), [(5_000, ["4", "5", "7"]), (2, ["5", "7"])])
def test_neighbours_are_sought_for_the_surest_wrong_answers(tmp_path, monkeypatch, most, sought):
    from steelbench.runs import finished_run

    monkeypatch.setattr(finished_run, "MOST_SOUGHT", most)
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]]
    # Images 4, 5 and 7 are named wrongly, with .6, .9 and .7; 6 is right.
    shares = np.array([0.6, 0.9, 0.2, 0.7], np.float32)
    probabilities = np.concatenate([np.zeros((4, 2), np.float32), np.stack([1 - shares, shares], axis=1)])
    data = SimpleNamespace(labels=np.zeros(8, int), images=[SimpleNamespace(path=str(number)) for number in range(8)])
    split = Split(np.arange(4), np.arange(0), np.arange(4, 8))

    finished_run._write_neighbours(tmp_path, vectors, probabilities, SimpleNamespace(data=data), split)

    found = {line["path"]: line["neighbour_1"] for line in read_csv(tmp_path / "neighbours.csv")}
    assert found == {path: near for path, near in {"4": "1", "5": "2", "7": "1"}.items() if path in sought}
