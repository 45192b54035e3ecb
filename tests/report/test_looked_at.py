"""Maps over the pictures of the dossiers: which are shown, in which colours, where, and what is said without them."""

import base64
import re

import cv2
import numpy as np
import pytest
from each import each
from results_folder import model_row, summary, write_folder

from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.files import write_json
from steelbench.records import ActivationMap, ActivationMaps, activation_map_file
from steelbench.report.hard_images import group_by_image
from steelbench.report.looked_at import SHOWN_ROWS, overlay_uri, place_in_words, read_looked_at
from steelbench.report.results_page import build_report

ROWS = [model_row(name, "softmax", 0.95) for name in ("vgg19", "xception")]
NAMES = [row.name for row in ROWS]


def error(row, path="a.jpg", label="inclusion", predicted="patches"):
    return WrongAnswer(row, path, label, predicted, 0.91, 0.05, 2, 2, False, ())


def heat_map(path="a.jpg", **more):
    fields = {
        "path": path, "predicted": "patches", "label": "inclusion", "width": 200, "height": 200, "columns": 2,
        "rows": 2, "peak": 1.5, "for_predicted": "ff000000", "for_label": "00000080",
    }  # fmt: skip
    return ActivationMap(**fields | more)


def write_maps(folder, row, *maps, **more):
    write_json(activation_map_file(folder, row), ActivationMaps(fingerprint="f", maps=list(maps), **more))


@pytest.fixture
def folder(tmp_path):
    folder = write_folder(tmp_path, summary(ROWS))
    write_errors(folder / "errors.csv", [error(name) for name in NAMES])
    (folder / "thumbnails").mkdir()
    cv2.imwrite(str(folder / "thumbnails" / "0.jpg"), np.full((32, 32), 90, "u1"))
    write_json(folder / "thumbnails" / "index.json", {"files": {"a.jpg": "0.jpg"}, "examples": {}})
    return folder


def section(folder):
    text = build_report(folder).read_text(encoding="utf-8")
    return text[text.index('<h2 id="errors"') : text.index('<h2 id="classes"')]


def test_each_map_is_named_by_row_class_and_place(folder):
    write_maps(folder, NAMES[0], heat_map())
    write_maps(folder, NAMES[1], heat_map(for_label="00000000"))

    text = section(folder)

    labels = re.findall(r'role="img" aria-label="([^"]+ for [^"]+)"', text)
    assert labels == [
        "vgg19 + softmax for patches: most in the upper left",
        "vgg19 + softmax for inclusion: most in the lower right",
        "xception + softmax for patches: most in the upper left",
        "xception + softmax for inclusion: nothing in the image speaks for it",
    ]
    assert "not recorded" not in text and "add up to the score" in text


def test_without_maps_the_page_says_how_to_get_them(folder):
    text = section(folder)

    assert "Run the same command again" in text and "heat-map" not in text and 'class="seen"' in text


def test_a_row_that_could_not_be_computed_says_why(folder):
    write_maps(folder, NAMES[0], problem="<b>out of memory</b>")

    assert "vgg19 + softmax looked could not be computed: &lt;b&gt;out of memory" in section(folder)


@each(
    "damage",
    [
        {"predicted": "scratches"},
        {"path": "b.jpg"},
    ],
)
def test_a_map_of_another_answer_is_not_shown(damage, tmp_path):
    write_maps(tmp_path, NAMES[0], heat_map(**damage))

    assert read_looked_at(tmp_path, group_by_image([error(NAMES[0])])).maps == {}


@each(
    "damage",
    [
        {"for_label": "00"},
        {"rows": 10_000, "columns": 10_000},
        {"width": 0},
        {"for_predicted": "zz000000"},
        {"peak": "NaN"},
    ],
)
def test_a_damaged_record_is_passed_over(damage, tmp_path):
    good = heat_map().model_dump()
    write_json(activation_map_file(tmp_path, NAMES[0]), {"fingerprint": "f", "maps": [good | damage]})

    found = read_looked_at(tmp_path, group_by_image([error(NAMES[0])]))

    assert found.maps == {} and found.problems == {}


@each("name", ["../results", "/etc/passwd", ".."])
def test_a_row_named_by_a_stranger_reads_no_file_outside(name, tmp_path):
    write_json(tmp_path / "results.json", ActivationMaps(fingerprint="f", maps=[heat_map()]))

    assert read_looked_at(tmp_path, group_by_image([error(name)])).maps == {}


def test_the_best_rows_are_shown_and_no_more_than_fit(tmp_path):
    names = [f"row{place}" for place in range(SHOWN_ROWS + 3)]
    for name in names:
        write_maps(tmp_path, name, heat_map())

    (maps,) = read_looked_at(tmp_path, group_by_image([error(name) for name in names])).maps.values()

    assert [own.row for own in maps] == names[:SHOWN_ROWS]


def test_a_map_lies_over_the_part_of_a_long_strip_that_its_picture_shows(tmp_path):
    write_maps(tmp_path, NAMES[0], heat_map(width=1600, height=100))

    (own,) = read_looked_at(tmp_path, group_by_image([error(NAMES[0])])).maps["a.jpg"]

    assert (own.width, own.height, own.across, own.down) == (400, 100, 400.0, 100.0)


def test_more_is_lighter_and_yellower():
    """So that the map can be read in gray and by eyes that tell no red from green."""
    heat = np.linspace(0, 255, 11).astype(np.uint8)[None]
    png = base64.b64decode(overlay_uri(heat).split(",")[1])
    blue, green, red, opacity = np.moveaxis(cv2.imdecode(np.frombuffer(png, "u1"), cv2.IMREAD_UNCHANGED), -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.all(np.diff(light[0]) > -1.5) and light[0, -1] - light[0, 0] > 130
    assert blue[0, 0] > red[0, 0] and red[0, -1] > blue[0, -1]
    assert opacity.min() > 100 and opacity.max() < 170, "the image stays visible"
    assert overlay_uri(heat) == overlay_uri(heat.copy())


@each("side", [1, 7, 256])
def test_no_map_takes_more_than_six_kilobytes(side):
    heat = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)

    assert 100 < len(overlay_uri(heat)) < 6000


@each(
    "heat,words",
    [
        ([[0, 0, 0], [0, 9, 0], [0, 0, 0]], "most in the middle"),
        ([[0, 0, 9], [0, 0, 0], [0, 0, 0]], "most in the upper right"),
        ([[0, 0, 0], [9, 0, 0], [0, 0, 0]], "most in the middle left"),
        ([[0, 0], [0, 0]], "nothing in the image speaks for it"),
        ([[7, 7], [7, 7]], "everywhere alike"),
    ],
)
def test_places_in_words(heat, words):
    assert place_in_words(np.array(heat, np.uint8)) == words
