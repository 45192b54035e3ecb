"""Records: read and written without loss, whole or not at all."""

import json
import os
import re
import stat
import threading

import pytest
from each import each
from results_folder import trust, typical

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file, write_json, write_text
from steelbench.records import (
    ClassScore,
    Notice,
    Row,
    RowDetail,
    RunRecord,
    StageRecord,
    Summary,
    Verification,
    read_record,
    row_name,
)

RUN = RunRecord(
    backbone="vgg19", method="softmax", variant="t=0.05", seed=2, fold=1, fingerprint="ab",
    settings={"c": [0.1, 1], "schedule": "constant"}, classes=["Fläche", "b"],
    n_train=6, n_validation=2, n_test=2, image_size=224,
    weights={"kind": "imagenet"}, engine="keras", precision="float32", params=7,
    stages=[StageRecord(name="head", history="history.csv", epochs=3, best_epoch=1)],
    metrics={"test": {"accuracy": 1 / 3, "loss": None}}, notes={"x": [1, {"y": "z"}]},
    verification=Verification(images=2, max_difference=1e-7, classes_changed=0), seconds={"fit": 0.1},
)  # fmt: skip
SUMMARY = Summary(
    dataset={"name": "x"}, split={"kind": "grouped"}, warnings=[Notice(level="serious", text="Fläche\nx")],
    rows=[
        Row(name="vgg19-softmax", backbone="vgg19", method="softmax", weights="imagenet", status="done",
            accuracy=0.1 + 0.2, per_class=[ClassScore(name="a", precision=1, recall=0.5, f1=2 / 3, support=4)],
            confusion=[[1, 2], [3, 4]]),
        Row(name="b-knn", backbone="b", method="knn", weights="", status="failed", reason='said "no", twice'),
    ],
)  # fmt: skip


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("record", [RUN, SUMMARY], ids=["run", "summary"])
def test_a_record_comes_back_as_it_was(tmp_path, record):
    path = tmp_path / "new" / "folder" / "record.json"

    write_json(path, record)

    assert read_record(path, type(record)) == record
    assert leftovers(path.parent) == ["record.json"]


def test_records_are_json_for_people(tmp_path):
    write_json(tmp_path / "x.json", RUN)

    text = (tmp_path / "x.json").read_bytes().decode("utf-8")
    assert "Fläche" in text and text.endswith("}\n") and "\r" not in text
    assert json.loads(text)["metrics"]["test"]["accuracy"] == 1 / 3


def test_fields_of_newer_versions_are_ignored(tmp_path):
    newer = {**RUN.model_dump(), "schema_version": 99, "colour": "blue"}
    write_json(tmp_path / "x.json", newer)

    assert read_record(tmp_path / "x.json", RunRecord) == RUN.model_copy(update={"schema_version": 99})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_lacks_is_refused_and_nothing_is_written(tmp_path, value):
    broken = RUN.model_copy(update={"metrics": {"test": {"accuracy": value}}})

    for what in (broken, {"deep": [{"x": value}]}):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "x.json", what)
    assert leftovers(tmp_path) == []


def test_records_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RUN.seed = 3


@pytest.mark.parametrize(
    ("backbone", "method", "variant", "name"),
    [
        ("vgg19", "softmax", "", "vgg19-softmax"),
        ("vgg19", "softmax", "t=0.05", "vgg19-softmax-t=0.05"),
        ("hub:a/b", "knn", "k=1", "hub_a_b-knn-k=1"),
        ("none", "majority", "", "none-majority"),
    ],
)
def test_names_are_names_of_files(backbone, method, variant, name):
    assert row_name(backbone, method, variant) == name
    run = RUN.model_copy(update={"backbone": backbone, "method": method, "variant": variant})
    assert (run.name, run.run_name) == (name, f"{name}-s2-f1")
    assert not re.search(r"[:/]", run.run_name)


def test_a_missing_record_says_how_to_make_it(tmp_path):
    with pytest.raises(
        SteelbenchError, match=r"results\.json does not exist; expected the folder that `steelbench run"
    ):
        read_record(tmp_path / "results.json", Summary)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Invalid JSON"),
        (b'{"dataset": {', "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"{}", "dataset: Field required"),
        (b'{"dataset": {}, "split": {}, "rows": [{"name": "x"}]}', "rows.0.backbone"),
        (b"[]", "file: "),
    ],
)
def test_a_damaged_record_says_what_is_wrong_in_one_line(tmp_path, data, words):
    (tmp_path / "results.json").write_bytes(data)

    with pytest.raises(SteelbenchError) as caught:
        read_record(tmp_path / "results.json", Summary)

    message = str(caught.value)
    assert words in message and "Summary" in message and "Delete it" in message and "\n" not in message


def test_a_folder_is_no_record(tmp_path):
    for path in (tmp_path, tmp_path / "file" / "results.json"):
        (tmp_path / "file").touch()
        with pytest.raises(SteelbenchError, match="is not a readable Summary record"):
            read_record(path, Summary)


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.h5"
    path.write_text("old")

    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("disk full")

    assert path.read_text() == "old" and leftovers(tmp_path) == ["model.h5"]


def test_a_writer_that_is_interrupted_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "new" / "x.json"):
        raise KeyboardInterrupt

    assert leftovers(tmp_path) == ["new"]


def test_until_the_end_readers_see_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path  # a rename is atomic only within one file system
        assert temporary.suffix == ".txt" and temporary.name.startswith(".")

    assert path.read_text() == "new" and leftovers(tmp_path) == ["x.txt"]


def test_files_have_the_rights_of_any_other_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x.txt", "x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path):
    for name in ("x" * 250 + ".txt", "鉄" * 80 + ".txt"):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_text_keeps_its_line_ends(tmp_path):
    write_text(tmp_path / "x.csv", "a\nb\r\nü")

    assert (tmp_path / "x.csv").read_bytes() == "a\nb\r\nü".encode()


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "x.txt"
    texts = [str(number) * 200_000 for number in range(4)]
    threads = [threading.Thread(target=write_text, args=(path, text)) for text in texts * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert path.read_text() in texts and leftovers(tmp_path) == ["x.txt"]


HOSTILE = {
    "rows.0.accuracy": [1e308, -1, "NaN", float("nan"), "x"],
    "rows.0.params": [10**30, -1, "many"],
    "rows.0.confusion": [[[1, 2]], [[10**30]], "x"],
    "rows.0.trust.bins": [[], None, [{"count": -1, "confidence": 0, "accuracy": 0}]],
    "rows.0.trust.thresholds": [[], [2.0]],
    "judgement.best": [3, []],
    "judgement.differences": [{"x": 1e999}, {"x": "NaN"}, 7],
    "split.naive_leaking": [7.0, "x", []],
    "dataset.classes": [{"a": -1}, {"a": 10**30}, ["a"]],
    "dataset.images": [-1, 10**30, "x"],
    "rows.0.detail.notes.embedding.recall_at_1": [1e308, "NaN", []],
}


@each("place", HOSTILE)
def test_a_report_of_numbers_that_cannot_be_is_refused_in_one_sentence(tmp_path, capsys, place):
    record = typical()
    row = record.rows[0].model_copy(update={"trust": trust(), "detail": RowDetail(notes={"embedding": {}})})
    whole = record.model_copy(update={"rows": [row, *record.rows[1:]]}).model_dump(mode="json")
    for value in HOSTILE[place]:
        *path, last = place.split(".")
        hostile = json.loads(json.dumps(whole))
        found = hostile
        for name in path:
            found = found[int(name) if name.isdigit() else name]
        found[last] = value
        (tmp_path / "results.json").write_text(json.dumps(hostile))

        assert main(["report", str(tmp_path)]) == 2, value
        (line,) = capsys.readouterr().err.splitlines()
        assert "results.json is not a readable Summary record" in line


@each("text", ["[" * 200_000, '{"rows":' * 200_000, "1" * 5000, "", "\0"])
def test_brackets_without_end_are_no_record(tmp_path, capsys, text):
    (tmp_path / "results.json").write_text(text)

    assert main(["report", str(tmp_path)]) == 2
    assert "not a readable Summary record" in capsys.readouterr().err
