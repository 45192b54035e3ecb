"""`steelbench run --none-class NAME`: refused early, on the page and the sheet, summed up again without a training."""

import json

import pytest

from steelbench.cli.commands.run import execute
from steelbench.cli.exit import main
from steelbench.experiment import RunOptions

CLASSES = ("crack", "good", "fleck")


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=14, classes=CLASSES)


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Workers that all fail at once: HOG is the row that is looked at."""

    def run_jobs(jobs, results, on_event):
        return {task.key: "it did not feel like it" for job in jobs for task in job.tasks}

    monkeypatch.setattr("steelbench.runs.run.run_jobs", run_jobs)


def run(data, results, *more):
    arguments = ["run", "--data", str(data), "--results", str(results), "--weights", "random"]
    return main([*arguments, "--backbones", "mobilenet_v2_035", *more])


def stamps(results, pattern):
    return {path: path.stat().st_mtime_ns for path in results.glob(pattern)}


def record(results):
    return json.loads((results / "results.json").read_text(encoding="utf-8"))


def hog(results):
    return next(row for row in record(results)["rows"] if row["method"] == "hog")


def test_a_name_that_is_no_class_is_refused_before_anything_runs(steel, tmp_path, capsys):
    assert run(steel, tmp_path / "r", "--none-class", "goood") == 2

    told = capsys.readouterr().err
    assert (
        "--none-class 'goood' names no class of this data; did you mean 'good'? The classes are crack, fleck, good."
        in told
    )
    assert not (tmp_path / "r").exists()
    assert run(steel, tmp_path / "r", "--none-class", "goood", "--dry-run") == 2


def test_another_class_of_sound_material_is_summed_up_again_and_nothing_is_made_anew(steel, tmp_path):
    results = tmp_path / "r"
    # Without an experiment everything that was asked for is there after the first time.
    options = RunOptions(data=str(steel), results=results)
    assert execute(options, [], "steelbench run") == 0
    kept = stamps(results, "runs/none-hog*/*")
    assert record(results)["none_class"] == "good" == hog(results)["sound"]["name"]

    named = options.model_copy(update={"none_class": "crack"})
    assert execute(named, [], "steelbench run") == 0

    assert record(results)["none_class"] == "crack" == hog(results)["sound"]["name"]
    assert stamps(results, "runs/none-hog*/*") == kept
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Escape<br>[interval]" in page and "of the images with a defect &#39;crack&#39; (escape)" in page
    assert main(["report", str(results), "--sheet", "none-hog"]) == 0
    assert "of images with a defect are named crack" in (results / "sheet-none-hog.html").read_text(encoding="utf-8")
    kept = stamps(results, "[!.]*.*")
    assert execute(named, [], "steelbench run") == 0 and stamps(results, "[!.]*.*") == kept


def test_two_classes_of_sound_material_by_name_are_told_and_none_is_taken(tiny_images, tmp_path):
    results = tmp_path / "r"
    run(tiny_images(images=14, classes=("ok", "none", "pit")), results)

    assert record(results)["none_class"] == "" and hog(results)["sound"] is None
    assert "SB112" in {own["code"] for own in record(results)["warnings"]}
