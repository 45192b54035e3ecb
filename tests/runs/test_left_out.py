"""From `steelbench run` on folders with more than images to what the table, the terminal and the page say."""

import csv

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data.inspection import Inspection
from steelbench.data.samples import Dataset, LeftOut
from steelbench.records import Summary, read_record
from steelbench.runs.run_summary import write_skipped


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Workers that all fail at once; the baselines need none."""

    def run_jobs(jobs, results, on_event):
        return {task.key: "it did not feel like it" for job in jobs for task in job.tasks}

    monkeypatch.setattr("steelbench.runs.run.run_jobs", run_jobs)


def run(data, results, *more):
    options = ["--results", str(results), "--weights", "random", "--backbones", "mobilenet_v2_035"]
    return main(["run", "--data", str(data), *options, *more])


def table(results):
    with (results / "skipped_images.csv").open(newline="", encoding="utf-8") as file:
        return [tuple(line.values()) for line in csv.DictReader(file)]


def dataset(results):
    return read_record(results / "results.json", Summary).dataset


def page(results):
    return (results / "report.html").read_text(encoding="utf-8")


def test_of_50_files_14_were_ignored_and_the_page_says_which(tiny_images, tmp_path):
    data = tiny_images(images=18, classes=2)
    names = [f"columns/scan{k}.psd" for k in range(9)] + [f"rows/<b>{k}.txt" for k in range(4)] + ["rows/notes"]
    for name in names:
        (data / name).write_text("x")

    run(data, tmp_path)

    counts = {"no image (.psd)": 9, "no image (.txt)": 4, "no image (no extension)": 1}
    assert dataset(tmp_path).images == 36 and dataset(tmp_path).left_out == counts and dataset(tmp_path).skipped == 0
    assert [path for path, _ in table(tmp_path)] == sorted(names)
    text = page(tmp_path)
    assert "36 images are used; 14 files are not:" in text
    assert all(f"<code>{name.replace('<b>', '&lt;b&gt;')}</code>" in text for name in names)
    assert all(f'<th scope="row">{reason}</th><td>{count}</td>' in text for reason, count in counts.items())
    assert "each of the 36 images could be read" in text and "<b>0.txt" not in text


def test_unreadable_images_stay_apart_from_files_that_are_no_images(tiny_images, tmp_path):
    data = tiny_images(images=21, classes=2)
    (data / "rows" / "000.png").write_bytes(b"")
    (data / "rows" / "a.txt").write_text("x")

    run(data, tmp_path)

    assert table(tmp_path) == [("rows/000.png", "the file is empty"), ("rows/a.txt", "no image (.txt)")]
    assert dataset(tmp_path).skipped == 1 and dataset(tmp_path).left_out == {"no image (.txt)": 1}
    assert "1 image was skipped" in page(tmp_path) and "1 file is not:" in page(tmp_path)


def test_the_table_is_bounded_and_says_how_many_more(tmp_path):
    others = tuple(LeftOut(f"a/{k:05}.txt", "no image (.txt)") for k in range(10_007))

    write_skipped(
        tmp_path / "skipped_images.csv", Dataset(tmp_path, (), passed_over=others), Inspection((), (), (), "")
    )

    rows = table(tmp_path)
    assert len(rows) == 10_001 and rows[-1] == ("", "7 more are not listed")


def test_masks_are_not_trained_on_unless_asked_for(tiny_images, tmp_path):
    data = tiny_images(images=8, classes=2, suffix=".jpg")
    for path in sorted(data.rglob("*.jpg")):
        picture = np.zeros((40, 40), np.uint8)
        picture[4 : 8 + int(path.stem), 9:20] = 255
        cv2.imwrite(str(path.with_suffix(".png")), picture)

    run(data, tmp_path / "without")
    run(data, tmp_path / "with", "--keep-masks")

    assert (dataset(tmp_path / "without").images, dataset(tmp_path / "with").images) == (16, 32)
    assert dataset(tmp_path / "without").left_out == {"looks like a mask (--keep-masks keeps it)": 16}
    assert "--keep-masks" in page(tmp_path / "without") and not dataset(tmp_path / "with").left_out
    assert len(table(tmp_path / "without")) == 16


def test_spellings_and_pictures_under_two_labels_are_told_on_the_terminal_and_on_the_page(
    tiny_images, tmp_path, capsys
):
    data = tiny_images(images=8, classes=("Scratch", "scratch ", "pit"))
    (data / "pit" / "twice.png").write_bytes((data / "Scratch" / "000.png").read_bytes())

    run(data, tmp_path / "apart")
    told = capsys.readouterr().err
    run(data, tmp_path / "joined", "--join-labels")

    text = page(tmp_path / "apart").replace("&#39;", "'")
    for words in ("'Scratch' (8) and 'scratch ' (8)", "--join-labels", "Scratch/000.png ('Scratch') and pit/twice.png"):
        assert words in told and words in text
    assert len(dataset(tmp_path / "apart").classes) == 3
    assert dataset(tmp_path / "joined").classes == {"Scratch": 16, "pit": 9}


def test_a_class_of_few_groups_is_left_out_on_request(tiny_images, tmp_path, capsys):
    data = tiny_images(images=10, classes=3)
    first = (data / "rows" / "000.png").read_bytes()
    for path in (data / "rows").iterdir():
        path.write_bytes(first)

    assert run(data, tmp_path / "refused") == 2
    assert "class 'rows' has 1 group" in capsys.readouterr().err
    run(data, tmp_path / "dropped", "--drop-small", "4")

    found = dataset(tmp_path / "dropped")
    assert found.classes == {"checks": 10, "columns": 10}
    assert found.left_out == {"in a class of fewer than 4 groups (--drop-small 4)": 10}
    assert len(table(tmp_path / "dropped")) == 10 and "fewer than 4 groups" in page(tmp_path / "dropped")


def test_small_classes_are_left_out_on_request(tiny_images, tmp_path, capsys):
    data = tiny_images(images=10, classes=3)
    for path in sorted((data / "rows").iterdir())[2:]:
        path.unlink()

    assert run(data, tmp_path) == 2
    assert "--drop-small 3" in capsys.readouterr().err
    run(data, tmp_path, "--drop-small", "3")

    assert dataset(tmp_path).left_out == {"in a class of fewer than 3 images (--drop-small 3)": 2}
    assert len(dataset(tmp_path).classes) == 2


def test_masks_of_the_data_are_no_images_without_labels(tiny_images, tmp_path, capsys):
    data = tiny_images(images=8, classes=2, suffix=".jpg")
    for path in sorted(data.rglob("*.jpg")):
        cv2.imwrite(str(path.with_suffix(".png")), np.eye(40, dtype=np.uint8) * 255)

    assert run(data, tmp_path, "--unlabelled", str(data)) == 2

    assert "no image but the 32 labelled ones" in capsys.readouterr().err
