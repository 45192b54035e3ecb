"""Each thumbnail is on the page once, within a budget; what has none is named."""

import json

import cv2
import numpy as np
import pytest
from results_folder import CLASSES, model_row, summary, write_folder

from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.files import write_json
from steelbench.records import ActivationMap, ActivationMaps, activation_map_file
from steelbench.report.gallery import collect, shown_paths
from steelbench.report.hard_images import group_by_image, read_thumbnails
from steelbench.report.results_page import build_report


def error(row, path, label="inclusion", predicted="patches", *, neighbours=()):
    return WrongAnswer(row, path, label, predicted, 0.91, 0.05, 2, 2, False, neighbours)


def draw(folder, paths, examples=None, size=32):
    """Write a noisy thumbnail for each path, and their list."""
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    names = {path: f"{place}.jpg" for place, path in enumerate(paths)}
    for name in names.values():
        cv2.imwrite(str(thumbnails / name), random.integers(0, 255, (size, size), "u1"))
    write_json(thumbnails / "index.json", {"files": names, "examples": examples or {}})
    return read_thumbnails(folder)


def test_an_image_shown_in_many_places_is_embedded_once(tmp_path):
    rows = [model_row(name, "softmax", 0.95) for name in ("vgg19", "xception")]
    folder = write_folder(tmp_path, summary(rows))
    names = [row.name for row in rows]
    write_errors(folder / "errors.csv", [error(name, "a.jpg", neighbours=("b.jpg", "a.jpg")) for name in names])
    draw(folder, ["a.jpg", "b.jpg", "never shown.jpg"], {"inclusion": ["a.jpg"]})

    text = build_report(folder).read_text(encoding="utf-8")

    assert text.count("data:image/jpeg") == 2
    assert text.count('class="thumb t0"') == 1 + 1 + 1 + 2 + 1, (
        "example, dossier, neighbour, a cell of each row, a label to check"
    )


def test_what_exceeds_the_budget_is_left_out_last_things_first(tmp_path):
    paths = [f"{place}.jpg" for place in range(9)]
    thumbnails = draw(tmp_path, paths)
    size = len(thumbnails.read("0.jpg"))

    gallery = collect(thumbnails, [*paths, "0.jpg"], budget=int(4.5 * size))

    assert [bool(gallery.style_class(path)) for path in paths] == [True] * 4 + [False] * 5
    assert gallery.style_class("unknown.jpg") == ""


def test_examples_come_first_then_dossiers_then_other_errors(tmp_path):
    thumbnails = draw(tmp_path, ["x"], {"inclusion": ["e1", "e2", "e3"]})
    hard = group_by_image([error("r", "h1", neighbours=("n1",)), error("r", "h2", neighbours=("n2",))])

    assert list(shown_paths(thumbnails, hard, dossiers=1, examples=2)) == ["e1", "e2", "h1", "n1", "h2"]
    assert list(shown_paths(thumbnails, None, dossiers=1, examples=1)) == ["e1"]


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd", "text.jpg"])
def test_only_jpegs_of_the_folder_are_embedded(tmp_path, name):
    draw(tmp_path, ["a.jpg"])
    (tmp_path / "outside.jpg").write_bytes((tmp_path / "thumbnails" / "0.jpg").read_bytes())
    (tmp_path / "thumbnails" / "text.jpg").write_text("</style><script>", encoding="utf-8")
    write_json(tmp_path / "thumbnails" / "index.json", {"files": {"a.jpg": name}})

    assert collect(read_thumbnails(tmp_path), ["a.jpg"]).rules() == ""


@pytest.mark.slow
def test_four_backbones_and_1800_images_stay_below_15_megabytes(tmp_path):
    """Every image is answered wrongly by every row, which no run comes near."""
    paths = [f"{label}/{place:04d}.jpg" for label in CLASSES for place in range(300)]
    rows = [
        model_row(name, method, 0.9, seed=place, n_test=1800)
        for place, name in enumerate(("efficientnet_b0", "mobilenet_v2", "vgg19", "xception"))
        for method in ("softmax", "linear", "supcon")
    ]
    folder = write_folder(tmp_path, summary(rows))
    draw(folder, paths, {label: [f"{label}/{place:04d}.jpg" for place in range(6)] for label in CLASSES}, size=96)
    write_errors(
        folder / "errors.csv",
        [
            error(row.name, path, path.split("/")[0], CLASSES[(CLASSES.index(path.split("/")[0]) + 1) % 6])
            for path in paths
            for row in rows
        ],
    )
    for row in rows:
        heat = np.random.default_rng(0).integers(0, 256, 49).astype("u1").tobytes().hex()
        maps = [
            ActivationMap(
                path=path, label=path.split("/")[0], predicted=CLASSES[(CLASSES.index(path.split("/")[0]) + 1) % 6],
                width=200, height=200, columns=7, rows=7, peak=1.0, for_predicted=heat, for_label=heat,
            )
            for path in paths
        ]  # fmt: skip
        write_json(activation_map_file(folder, row.name), ActivationMaps(fingerprint="f", maps=maps))

    page = build_report(folder)

    assert page.read_text(encoding="utf-8").count("heat-map") > 24 * 2 * 6
    assert sum(path.stat().st_size for path in (folder / "thumbnails").glob("*.jpg")) > 9_000_000
    assert page.stat().st_size < 15_000_000
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
