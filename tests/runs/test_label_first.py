"""The list of images to label comes from the best ranked row, with pictures; without candidates there is none."""

import csv

import cv2
import numpy as np
import pytest
from results_folder import model_row, summary, write_folder

from steelbench.evaluation.label_first import CANDIDATES_FILE, LABEL_FIRST_FILE, Candidate, write_candidates
from steelbench.experiment import RunOptions
from steelbench.runs.label_first import list_images_to_label


@pytest.fixture
def folder(tmp_path):
    """Results of three rows, the best one untrained, all with candidates; and the images without labels."""
    rows = [model_row(name, "softmax", 0.9) for name in ("vgg19", "xception", "efficientnet_b0")]
    rows[0] = rows[0].model_copy(update={"untrained": True})
    record = summary(rows)
    results = write_folder(tmp_path / "results", record)
    for row in rows:
        names = [f"{row.backbone} {number}.png" for number in range(3)]
        found = [Candidate(name, "a", 0.5, "b", 0.4, 0.1, min(place, 1)) for place, name in enumerate(names)]
        write_candidates(results / "runs" / row.runs[0] / CANDIDATES_FILE, found)
    images = tmp_path / "more"
    images.mkdir()
    cv2.imwrite(str(images / "xception 0.png"), np.full((20, 20), 9, "u1"))
    return record, RunOptions(data="d", results=results, unlabelled=images)


def test_the_best_trained_row_decides_and_what_cannot_be_read_has_no_picture(folder):
    record, options = folder
    list_images_to_label(options, record)

    with (options.results / LABEL_FIRST_FILE).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    # The third one is of the second one's group.
    assert [line["path"] for line in lines] == ["xception 0.png", "xception 1.png"]
    assert [path.name for path in (options.results / "label_first").iterdir()] == ["1.jpg"]


def test_a_run_without_unlabelled_images_deletes_the_list_of_an_earlier_one(folder):
    record, options = folder
    list_images_to_label(options, record)
    list_images_to_label(options.model_copy(update={"unlabelled": None}), record)

    assert not (options.results / LABEL_FIRST_FILE).exists() and not (options.results / "label_first").exists()
