"""Thumbnails of the images that the report shows."""

import cv2
import numpy as np

from steelbench.evaluation.error_tables import WrongAnswer
from steelbench.records import ThumbnailIndex, read_record
from steelbench.report.hard_images import read_thumbnails
from steelbench.runs.thumbnails import EXAMPLES, MOST, SIDE, choose_pictures, class_examples, write_thumbnails


def wrong(path, *neighbours):
    return WrongAnswer("x", path, "a", "b", 0.9, 0.1, 1, 1, False, neighbours)


def test_examples_come_first_then_wrong_answers_then_neighbours_and_no_more_than_fit():
    errors = [wrong("1", "n1", "2"), wrong("2", "n2")]

    assert choose_pictures(errors, ["e"]) == ["e", "1", "2", "n1", "n2"]
    assert len(choose_pictures([wrong(str(k)) for k in range(2 * MOST)], ["e"])) == MOST


def test_examples_are_of_every_class_and_the_same_again():
    paths = [f"{name}/{k}.png" for name in "ab" for k in range(20)]
    labels = [path[0] for path in paths]

    found = class_examples(paths, labels)

    assert {name: len(own) for name, own in found.items()} == {"a": EXAMPLES, "b": EXAMPLES}
    assert found == class_examples(paths[::-1], labels[::-1])
    assert found["a"] != paths[:EXAMPLES]


def test_pictures_are_small_and_named_by_no_file_of_the_user(tmp_path):
    name = 'a "quoted" <b>.png'
    cv2.imwrite(str(tmp_path / name), np.full((400, 900, 3), 90, "u1"))
    cv2.imwrite(str(tmp_path / "line.png"), np.full((100, 9000), 90, "u1"))
    wanted = [name, "line.png", "gone.png", f"{name}#10,10,50,50"]

    write_thumbnails(tmp_path / "out", tmp_path, None, wanted, {"a": [name]})

    index = read_record(tmp_path / "out" / "thumbnails" / "index.json", ThumbnailIndex)
    assert set(index.files) == {name, "line.png", f"{name}#10,10,50,50"} and index.examples == {"a": [name]}
    shown = read_thumbnails(tmp_path / "out")
    sizes = [cv2.imdecode(np.frombuffer(shown.read(path), "u1"), cv2.IMREAD_COLOR).shape[:2] for path in index.files]
    assert sizes == [(SIDE, 288), (SIDE, 4 * SIDE), (SIDE, SIDE)]
    assert all(file.replace(".jpg", "").isalnum() for file in index.files.values())


def test_a_list_from_a_stranger_reads_no_file_outside_of_its_folder(tmp_path):
    (tmp_path / "secret").write_bytes(b"\xff\xd8secret")
    folder = tmp_path / "thumbnails"
    folder.mkdir()
    (folder / "no.jpg").write_bytes(b"text")
    (folder / "index.json").write_text(
        '{"files": {"a": "../secret", "b": "/etc/passwd", "c": "no.jpg", "d": "gone.jpg"}}'
    )

    shown = read_thumbnails(tmp_path)

    assert [shown.read(path) for path in "abcde"] == [None] * 5
    assert read_thumbnails(tmp_path / "nowhere").read("a") is None
