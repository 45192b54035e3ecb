"""The audit's page is whole, needs nothing else and takes no name for markup."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from steelbench.audit.findings import AuditResult, LabelCheck, SuspiciousLabel
from steelbench.audit.image_statistics import ImageStatistics
from steelbench.audit.shortcuts import Brightness, Shortcut
from steelbench.audit.thumbnails import PairThumbnail
from steelbench.data.groups import Pair, group_files
from steelbench.data.inspection import Inspected, Inspection
from steelbench.data.samples import Sample
from steelbench.records import Notice
from steelbench.report.audit_page import label_sentence, shown_files, summary_sentences, write_audit_page

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def audit():
    files = [f"{EVIL}/{k}{EVIL}.png" for k in range(4)]
    images = tuple(Inspected(Sample(file, EVIL), "", "", 8, 8, 8, 255) for file in files)
    pairs = [Pair(files[0], files[1], "exact", 1.0, 0, 0, False), Pair(files[1], files[2], "overlap", 0.3, -4, 5, True)]
    levels = np.ones(256, np.int64)
    return AuditResult(
        name="class_folders",
        root=Path(EVIL),
        inspection=Inspection(images, ((EVIL, EVIL),), (EVIL,), "0" * 64, (Notice(level="caution", text=EVIL),)),
        bit_depth=None,
        left_out={EVIL: 3},
        pairs=pairs,
        groups=group_files(files, pairs),
        leaks={"80/20": 0.826, "70/30": 0.784},
        statistics=[ImageStatistics(file, EVIL, "PNG", 8, 8, 99, None, levels, 1.0) for file in files],
        shortcuts=[Shortcut("file format", 0.9, 0.5, 400, (EVIL,)), Shortcut("image size", None, 0.5, 400)],
        brightness=[Brightness(EVIL, 100, 10, 120, 0)],
        doubtful={"almost black": [EVIL] * 20, "almost white": [], "blurred": []},
        seconds=1.25,
        from_cache=True,
        suspicious=[SuspiciousLabel(EVIL, EVIL, EVIL, 0.01, flagged=True, backbone="vgg19")],
        label_check=LabelCheck("vgg19", "imagenet", 4),
    )


def test_names_are_text_and_nothing_is_fetched(audit, tmp_path):
    page = write_audit_page(
        tmp_path, audit, [PairThumbnail(audit.pairs[0], b"\xff\xd8", b"\xff\xd8")], {EVIL: b"\xff\xd8"}
    )

    text = page.read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(text)
    assert "script" not in seen.tags
    assert "{{ 7*7 }}" in text and "alert(1)" in text
    assert all(link.startswith(("data:", "#")) for link in seen.links)
    assert not re.search(r"url\(|@import", text)


def test_the_summary_gives_the_leak_and_the_groups(audit):
    assert summary_sentences(audit) == [
        "Of a random split, 82.6 % of the test images (80/20) and 78.4 % of the test images (70/30) "
        "are expected to share pixels with a training image.",
        "3 of 4 images (75.0 %) share pixels with another one; they form 1 group, "
        "which must stay on one side of a split.",
    ]


def test_data_without_findings_says_so(audit, tmp_path):
    files = [image.sample.path for image in audit.inspection.images]
    clean = replace(
        audit,
        pairs=[],
        groups=group_files(files, []),
        leaks={"80/20": 0.0},
        shortcuts=[],
        doubtful={"almost black": []},
        suspicious=[],
    )

    text = write_audit_page(tmp_path, clean, [], {}).read_text(encoding="utf-8")

    assert "No two of the 4 images were found to share pixels." in text
    assert "No image is almost black" in text
    assert "Label conflicts" not in text and "keeps such images together" not in text


def test_what_makes_a_random_split_worthless_is_a_warning(audit, tmp_path):
    text = write_audit_page(tmp_path, audit, [], {}).read_text(encoding="utf-8")

    assert "keeps such images together" in text
    assert "1 picture carries two labels." in text
    assert "The file format alone tells the class of 90.0 % of the images" in text
    assert "kept from an earlier run" in text
    assert "1 label looks wrong; the pictures are below." in text


class Sections(HTMLParser):
    """Text and pictures of each section, by the id of its heading."""

    def __init__(self):
        super().__init__()
        self.here, self.text, self.pictures = "", {}, {}

    def handle_starttag(self, tag, attrs):
        if tag == "h2":
            self.here = dict(attrs)["id"]
        if tag == "img":
            self.pictures.setdefault(self.here, []).append(dict(attrs)["src"])

    def handle_data(self, data):
        self.text[self.here] = self.text.get(self.here, "") + data


def sections(page):
    found = Sections()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_every_kind_of_finding_has_its_section(audit, tmp_path):
    files = list(audit.groups)
    kinds = ("exact", "near", "mirrored", "rotated", "overlap")
    pairs = [Pair(files[0], files[k % 3 + 1], kind, 0.5, 1, 2, k > 0) for k, kind in enumerate(kinds)]
    doubtful = {name: [f"{name}.png"] for name in ("almost black", "almost white", "blurred")}
    full = replace(audit, pairs=pairs, doubtful=doubtful)
    shown = [PairThumbnail(pair, b"a", b"b") for pair in pairs]

    found = sections(write_audit_page(tmp_path, full, shown, {file: file.encode() for file in shown_files(full)}))

    assert "The same picture in two classes" in found.text["conflicts"]
    for words in ("equal pixels", "changed a little", "mirrored", "rotated", "overlapping crops"):
        assert words in found.text["pairs"]
    assert len(found.pictures["pairs"]) == 10
    assert "90.0 %" in found.text["shortcuts"]
    assert "All classes have 4 images." in found.text["classes"]
    for words in ("Unreadable: 1", "Almost black: 1", "Almost white: 1", "Blurred: 1", "blurred.png"):
        assert words in found.text["quality"]
    assert len(found.pictures["quality"]) == 3 and len(found.pictures["suspicious"]) == 1


def test_the_imbalance_of_the_classes_is_told(audit, tmp_path):
    samples = [("few" if k < 3 else "many", f"{k}.png") for k in range(9)]
    images = tuple(Inspected(Sample(name, label), "", "", 8, 8, 8, 255) for label, name in samples)
    inspection = replace(audit.inspection, images=images, classes=("few", "many"))

    found = sections(write_audit_page(tmp_path, replace(audit, inspection=inspection), [], {}))

    assert "The smallest class, few, has 3 images; the largest has 2.0 times as many." in found.text["classes"]


def test_the_suspicious_labels_are_shown_in_order_with_class_and_picture(audit, tmp_path):
    doubts = [
        SuspiciousLabel(f"{k:02}.png", "rust", "scale", k / 100, flagged=k < 3, backbone="vgg19") for k in range(25)
    ]
    many = replace(audit, suspicious=doubts, label_check=LabelCheck("vgg19", "imagenet", 40))

    assert shown_files(many)[:20] == [f"{k:02}.png" for k in range(20)]
    pictures = {file: file.encode() for file in shown_files(many)[:20] if file != "07.png"}
    found = sections(write_audit_page(tmp_path, many, [], pictures))

    text = found.text["suspicious"]
    assert re.findall(r"\d\d\.png", text) == [f"{k:02}.png" for k in range(20)]
    assert [base64.b64decode(uri.partition(",")[2]).decode() for uri in found.pictures["suspicious"]] == list(pictures)
    assert text.count("looks wrong") == 3 and "labelled rust (2.0 %)rather scale" in text
    assert "and 5 more" in text


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (None, ["not looked for", "`steelbench run --data DIR`"]),
        (LabelCheck("vgg19", "imagenet", 4, "class 'x' is too small"), ["could not be", "class 'x' is too small"]),
        (LabelCheck("vgg19", "imagenet", 4), ["1 of 4 labels looks wrong", "vgg19 features", "0 more images"]),
        (LabelCheck("vgg19", "random", 4), ["untrained", "hint"]),
    ],
    ids=["no features", "too few groups", "judged", "untrained"],
)
def test_the_sentence_on_labels_says_who_judged_or_what_to_do(audit, check, words):
    sentence = label_sentence(replace(audit, label_check=check))

    assert all(word in sentence for word in words), sentence
    assert ("untrained" in sentence) == (check is not None and check.weights == "random")
