"""The audit's page is whole, needs nothing else and believes no name."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from steelbench.data.audit_looks import Look
from steelbench.data.audit_pictures import PairPicture
from steelbench.data.audit_tables import AuditResult, Doubt
from steelbench.data.inspection import Inspected, Inspection
from steelbench.data.overlaps import Pair, group_files
from steelbench.data.samples import Sample
from steelbench.data.shortcuts import Brightness, Shortcut
from steelbench.report.audit_page import summary_sentences, write_audit_page

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
        inspection=Inspection(images, ((EVIL, EVIL),), (EVIL,), "0" * 64, (EVIL,)),
        bit_depth=None,
        left_out={EVIL: 3},
        pairs=pairs,
        groups=group_files(files, pairs),
        leaks={"80/20": 0.826, "70/30": 0.784},
        looks=[Look(file, EVIL, "PNG", 8, 8, 99, None, levels, 1.0) for file in files],
        shortcuts=[Shortcut("file format", 0.9, 0.5, 400, (EVIL,)), Shortcut("image size", None, 0.5, 400)],
        brightness=[Brightness(EVIL, 100, 10, 120, 0)],
        doubtful={"almost black": [EVIL] * 20, "almost white": [], "blurred": []},
        seconds=1.25,
        from_cache=True,
        suspicious=[Doubt(EVIL, EVIL, EVIL, 0.01)],
    )


def test_names_are_text_and_nothing_is_fetched(audit, tmp_path):
    page = write_audit_page(tmp_path, audit, [PairPicture(audit.pairs[0], b"\xff\xd8", b"\xff\xd8")])

    text = page.read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(text)
    assert "script" not in seen.tags
    assert "{{ 7*7 }}" in text and "alert(1)" in text
    assert all(link.startswith(("data:", "#")) for link in seen.links)
    assert not re.search(r"url\(|@import", text)


def test_the_summary_gives_the_leak_and_the_groups(audit):
    assert summary_sentences(audit) == [
        "Under a random split, 82.6 % of the test images (80/20) and 78.4 % of the test images (70/30) "
        "would share pixels with a training image.",
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

    text = write_audit_page(tmp_path, clean, []).read_text(encoding="utf-8")

    assert "No two of the 4 images were found to share pixels." in text
    assert "No image is almost black" in text
    assert "Label conflicts" not in text and "use --split grouped" not in text


def test_what_makes_a_random_split_worthless_is_a_warning(audit, tmp_path):
    text = write_audit_page(tmp_path, audit, []).read_text(encoding="utf-8")

    assert "use --split grouped" in text
    assert "1 picture carries two labels." in text
    assert "The file format alone tells the class of 90.0 % of the images" in text
    assert "kept from an earlier run" in text
