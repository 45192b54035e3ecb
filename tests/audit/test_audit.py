"""The audit of small folders that the tests make: tables, cache, leak, conflicts, hostile names."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from steelbench.audit.audit import audit_data, audited_pairs
from steelbench.audit.findings import LabelCheck, SuspiciousLabel, write_audit
from steelbench.audit.thumbnails import choose_pairs, draw_files, draw_pairs
from steelbench.data.groups import Pair
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset

HOSTILE = 'a,"b"\n<script>alert(1)</script>é=.png'


def texture(seed, side=96):
    rng = np.random.default_rng(seed)
    fine = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 0.9)
    return np.clip(120 + 14 * fine / fine.std(), 0, 255).astype(np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Two classes of six images; one picture lies in both, two crops overlap by half."""
    for k in range(12):
        write(tmp_path / "data" / ("rust" if k % 2 else "scratch") / f"{k}.png", texture(k))
    write(tmp_path / "data" / "rust" / HOSTILE, texture(0))
    frame = texture(50, 200)
    write(tmp_path / "data" / "rust" / "left.png", frame[:96, :96])
    write(tmp_path / "data" / "rust" / "right.png", frame[:96, 48:144])
    return tmp_path / "data"


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_tables_name_every_pair_and_every_file(folder, tmp_path):
    audit = audit_data(str(folder))
    write_audit(tmp_path / "out", audit)

    pairs = rows(tmp_path / "out" / "pairs.csv")
    assert pairs == [
        dict(
            file_a="rust/" + HOSTILE,
            file_b="scratch/0.png",
            kind="exact",
            overlap="1.0",
            dy="0",
            dx="0",
            same_label="false",
        ),
        dict(
            file_a="rust/left.png",
            file_b="rust/right.png",
            kind="overlap",
            overlap="0.5",
            dy="0",
            dx="48",
            same_label="true",
        ),
    ]
    groups = {row["file"]: row["group"] for row in rows(tmp_path / "out" / "groups.csv")}
    assert len(groups) == 15 and len(set(groups.values())) == 13
    assert groups["rust/" + HOSTILE] == groups["scratch/0.png"]
    assert [pair.file_b for pair in audit.conflicts] == ["scratch/0.png"]


def test_audit_json_counts_what_the_tables_hold(folder, tmp_path):
    audit = audit_data(str(folder))
    label = SuspiciousLabel("rust/1.png", "rust", "scratch", 0.1, flagged=True, backbone="vgg19")
    audit = replace(audit, suspicious=[label], label_check=LabelCheck("vgg19", "imagenet", 15))
    write_audit(tmp_path / "out", audit)

    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))

    assert found["images"] == 15
    assert found["classes"] == {"rust": 9, "scratch": 6}
    assert found["imbalance"] == {"smallest": "scratch", "largest": "rust", "ratio": 1.5}
    assert found["pairs"] == {"total": 2, "kinds": {"exact": 1, "overlap": 1}, "across_classes": 1}
    assert found["groups"] == {"total": 13, "largest": 2, "images_in_pairs": 4}
    assert (audit.shared_groups, audit.grouped_images, audit.pairs_across_classes, audit.flagged_labels) == (2, 4, 1, 1)
    assert len(found["label_conflicts"]) == 1
    assert found["label_check"] == {"backbone": "vgg19", "weights": "imagenet", "images": 15, "reason": ""}
    assert found["suspicious_labels"] == [
        {
            "file": "rust/1.png",
            "label": "rust",
            "suggested": "scratch",
            "confidence": 0.1,
            "flagged": True,
            "backbone": "vgg19",
        }
    ]


def inspected(folder):
    _, dataset = read_dataset(str(folder))
    return dataset.root, inspect_dataset(dataset)


def test_known_data_is_not_audited_again(folder):
    first, seconds, known = audited_pairs(*inspected(folder))
    again, kept_seconds, known_again = audited_pairs(*inspected(folder))

    assert (known, known_again) == (False, True)
    assert first == again and seconds == kept_seconds


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:50],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"exact"', '"guess"'),
        lambda text: text.replace('"left.png', '"gone.png').replace("left.png", "gone.png"),
        lambda text: text.replace('"version": 1', '"version": 0'),
        lambda text: text.replace('"dy": 0', '"dy": "0"'),
        lambda text: text.replace('"file_a": ', '"file_a": [], "x": '),
    ],
    ids=[
        "cut off",
        "empty",
        "other JSON",
        "unknown kind",
        "unknown file",
        "older version",
        "text for a number",
        "a list for a name",
    ],
)
def test_a_damaged_record_is_computed_again(folder, tmp_path, damage):
    first, _, _ = audited_pairs(*inspected(folder))
    (kept,) = (tmp_path / "cache" / "audit").glob("*.json")
    kept.write_text(damage(kept.read_text(encoding="utf-8")), encoding="utf-8")

    again, _, known = audited_pairs(*inspected(folder))

    assert not known and again == first
    assert audited_pairs(*inspected(folder))[2]


def test_another_label_or_another_pixel_is_other_data(folder):
    audited_pairs(*inspected(folder))
    (folder / "rust" / "1.png").rename(folder / "scratch" / "1.png")
    assert not audited_pairs(*inspected(folder))[2]
    write(folder / "rust" / "3.png", texture(99))
    assert not audited_pairs(*inspected(folder))[2]


def test_the_first_pictures_are_the_conflicts_and_files_vary():
    pairs = [Pair("a", f"b{k:02d}", "overlap", 0.3, k, 0, True) for k in range(40)]
    pairs += [Pair("c", "d", "near", 1.0, 0, 0, False), Pair("e", "f", "overlap", 0.5, 9, 9, False)]
    pairs += [Pair("g", "h", "rotated", 1.0, 0, 0, True)]

    chosen = choose_pairs(pairs)

    assert len(chosen) == 24
    assert [pair.file_a for pair in chosen[:2]] == ["c", "e"]
    assert pairs[-1] in chosen


def test_thumbnails_of_pairs_are_images_and_a_lost_file_is_left_out(folder):
    audit = audit_data(str(folder))
    (folder / "rust" / "left.png").unlink()

    drawn = draw_pairs(audit.root, audit.pairs)

    assert [picture.pair.file_b for picture in drawn] == ["scratch/0.png"]
    assert cv2.imdecode(np.frombuffer(drawn[0].first, np.uint8), cv2.IMREAD_COLOR).shape == (320, 320, 3)


def test_an_audit_that_judged_no_labels_says_so(folder, tmp_path):
    write_audit(tmp_path / "out", audit_data(str(folder)))

    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))

    assert found["label_check"] is None and found["suspicious_labels"] == []


def test_single_files_are_small_pictures_each_once_and_a_lost_file_is_left_out(folder):
    write(folder / "rust" / "wide.png", np.tile(texture(60), (1, 4)))

    drawn = draw_files(folder, ["rust/wide.png", "rust/1.png", "rust/gone.png", "rust/1.png"])

    assert list(drawn) == ["rust/wide.png", "rust/1.png"]
    wide, square = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in drawn.values())
    assert wide.shape == (60, 240, 3) and square.shape == (240, 240, 3)
    assert np.mean(square) == pytest.approx(texture(1).mean(), abs=2)
