"""The notices: what a reader is told before believing a number, each with a code, a level, a rule and what to do.

A new notice is a row here; its rule is checked where `notice(code, ...)` is called: `data/inspection.py`,
`runs/run_summary.py`, `features/frozen_encoder.py` or `evaluation/notices.py`.

`python -m steelbench.notices` prints `docs/notices.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from steelbench.errors import choose
from steelbench.records import Notice


@dataclass(frozen=True, kw_only=True)
class NoticeKind:
    """A row of `NOTICES`.

    Attributes:
        level: serious: the number may mean something else than it seems; caution: read it with care; note: good to
            know.
        rule: when it is said.
        sentence: what is said, with the values in braces.
        advice: what to do.
    """

    level: Literal["serious", "caution", "note"]
    rule: str
    sentence: str
    advice: str = ""


# 1xx: the images; 2xx: the split; 3xx: networks and features; 4xx: a row; 5xx: the test set; 6xx: trackers.
NOTICES = {
    "SB101": NoticeKind(
        level="caution",
        rule="an image could not be decoded",
        sentence="{count} unreadable images were skipped; skipped_images.csv says why.",
        advice="Repair them or remove them.",
    ),
    "SB102": NoticeKind(
        level="caution",
        rule="all values of the 16-bit images are below 4096, and --bit-depth was not given",
        sentence="No value of the {count} 16-bit images exceeds 4095, as in 12-bit data; read as 16 bit they are "
        "almost black.",
        advice="If the camera gives 12 bits, run again with --bit-depth 12.",
    ),
    "SB103": NoticeKind(
        level="caution",
        rule="a property of the files or of brightness names the class much more often than the largest class does",
        sentence="A shortcut: {attribute} alone names the class of {accuracy:.1%} of the images (the largest class: "
        "{majority:.1%}). A network can learn that instead of the defect.{facts}",
        advice="Make all classes alike in it, or test on images where it says nothing.",
    ),
    "SB104": NoticeKind(
        level="caution",
        rule="an image without a label could not be decoded",
        sentence="{count} unreadable images without labels; the first is {path}: {reason}.",
        advice="Repair them or remove them.",
    ),
    "SB105": NoticeKind(
        level="note",
        rule="--unlabelled names a folder",
        sentence="Pseudo-labels: heads trained by this command learn from up to {count} images without labels, too, "
        "named with a probability of {confidence:g} at least. None of them shares pixels with a validation or test "
        "image, as far as the audit can see.",
    ),
    "SB106": NoticeKind(
        level="caution",
        rule="a file holds several pages (TIFF) or frames (GIF, WebP, PNG)",
        sentence="Files of several pages or frames: {count}, such as {path}; the first one of each is read.",
        advice="Write the others into files of their own if they show steel, too.",
    ),
    "SB110": NoticeKind(
        level="caution",
        rule="the names of two classes differ by case or spaces only, and --join-labels was not given",
        sentence="Names of classes that differ by case or spaces only: {names}.",
        advice="If they are one class, run again with --join-labels.",
    ),
    "SB111": NoticeKind(
        level="caution",
        rule="one picture (equal pixels) stands under two labels",
        sentence="{count} {pictures} under two labels: {names}.",
        advice="One of the labels is wrong; keep one of the files.",
    ),
    "SB112": NoticeKind(
        level="note",
        rule="several classes are called none, good, ok or no_defect, and --none-class was not given",
        sentence="Several classes are called like sound material: {names}. Escapes and overkill are not told apart.",
        advice="Name the one that is sound with --none-class.",
    ),
    "SB120": NoticeKind(
        level="note",
        rule="the data has boxes, and --boxes was not given",
        sentence="{count} whole images are labelled by their boxes, where those name one class.",
        advice="--boxes crop makes every box a sample of its own.",
    ),
    "SB121": NoticeKind(
        level="note",
        rule="--boxes crop",
        sentence="The images below are {count} crops of {images} images, one for each box. All crops of an image stay "
        "on one side of a split; predictions.csv names them path#x,y,w,h.",
    ),
    "SB201": NoticeKind(
        level="serious",
        rule="a test image shares pixels, or a group, with a training image",
        sentence="The test set leaks: {share:.1%} of the test images share pixels, or a group, with a training image. "
        "The accuracies below are too high.{more}",
        advice="Move these files to the training part of the data, or run again with --split regroup, which draws a "
        "grouped split over all parts.",
    ),
    "SB202": NoticeKind(
        level="serious",
        rule="a class has no training, validation or test image in some split",
        sentence="Some split has no {part} image of {names}; too few images or groups of images share nothing.",
        advice="Add some, or remove the class.",
    ),
    "SB301": NoticeKind(
        level="note",
        rule="the weights of a backbone are random",
        sentence="Untrained: {names}. Random weights show that the program works, and nothing about transfer learning.",
        advice="`steelbench weights list` names the files; put them into --weights-dir and run again with --weights "
        "imagenet.",
    ),
    "SB302": NoticeKind(
        level="serious",
        rule="one part of an ensemble has random weights, another has not",
        sentence="{name}: the weights of {parts} are random, so a part of its features was never trained.",
        advice="Leave that part out, or get its weights (`steelbench weights list`).",
    ),
    "SB303": NoticeKind(
        level="serious",
        rule="a preset of KerasHub cannot be had",
        sentence="{name} is not here, {fallback} ran in its place: {reason}.",
    ),
    "SB304": NoticeKind(
        level="caution",
        rule="an engine cannot run a network, or its first batch differs from Keras by more than 0.1 %",
        sentence="{name}: {problem}; its features were computed by Keras instead.",
    ),
    "SB305": NoticeKind(
        level="caution",
        rule="--precision is not float32",
        sentence="{name}: {precision} features have cosine {cosine:.5f} to float32 (first batch).",
        advice="Run the row that you choose again with --precision float32.",
    ),
    "SB306": NoticeKind(
        level="serious",
        rule="the features of a row have a spread below 0.25 (usual are 0.4 and more)",
        sentence="Its features hardly change from image to image (spread {spread:.3f}, usual are 0.4 and more; "
        "{constant:.0%} are constant).",
        advice="Pixels in 0..1 instead of 0..255 do this; look at the file that --weights names.",
    ),
    "SB307": NoticeKind(
        level="note",
        rule="a network of a suite cannot be had, and the suite names another one for that case",
        sentence="{name} is not here, {fallback} ran in its place, as the suite says: {reason}.",
        advice="`steelbench weights list` says how to get them.",
    ),
    "SB401": NoticeKind(
        level="serious",
        rule="the accuracy of a row is at most that of the majority class",
        sentence="Accuracy {accuracy:.1%} is at most that of always naming the largest class ({majority:.1%}): it has "
        "learned nothing.",
        advice="Wrong pixel range, learning rate or labels are the usual causes.",
    ),
    "SB402": NoticeKind(
        level="caution",
        rule="the accuracy of a row is above that of the majority class, but its interval is not",
        sentence="Accuracy {accuracy:.1%} [{low:.1%}, {high:.1%}] is not shown to be above always naming the largest "
        "class ({majority:.1%}).{needed}",
        advice="Cross-validate (--folds 5) or add test images.",
    ),
    "SB403": NoticeKind(
        level="serious",
        rule="the training accuracy of a row is within 2 points of the majority class's, and closer to it than to 1",
        sentence="Training accuracy never rose: {accuracy:.1%}, the majority class alone gives {majority:.1%}. It "
        "cannot even repeat what it was shown.",
        advice="Look at pixel range, learning rate and labels.",
    ),
    "SB404": NoticeKind(
        level="caution",
        rule="validation lies above training by more than 5 points and three standard errors",
        sentence="Validation ({validation:.1%}) lies {points:.1f} points above training ({train:.1%}): the validation "
        "images are easier, or share something with the choice.",
    ),
    "SB410": NoticeKind(
        level="note",
        rule="the test of a row with unknown defects (`--with unknown`) failed",
        sentence="It could not be tested with unknown defects: {reason}.",
        advice="The same command tries again.",
    ),
    "SB411": NoticeKind(
        level="note",
        rule="--with robustness was given, and a row could not be measured on corrupted images",
        sentence="Not measured on corrupted images: {reason}",
        advice="The same command measures what is missing.",
    ),
    "SB501": NoticeKind(
        level="caution",
        rule="the interval of the most accurate row is wider than 10 points",
        sentence="The test set is too small for fine claims: {images} images{worth}; the 95 % interval of the best row "
        "is {points:.0f} points wide.",
        advice="Cross-validate (--folds 5) or add images.",
    ),
    "SB502": NoticeKind(
        level="serious",
        rule="a class has no test image",
        sentence="No test image of {names}: nothing is known about the recall; macro-F1 and balanced accuracy leave "
        "the class out.",
        advice="Cross-validate (--folds 5) or add images of the class.",
    ),
    "SB503": NoticeKind(
        level="caution",
        rule="a class has fewer than 10 test images, or images that are worth fewer than 10 independent ones",
        sentence="Fewer than 10 independent test images of {names}; the recall there is a guess.",
        advice="Cross-validate (--folds 5) or add images of the class.",
    ),
    "SB601": NoticeKind(
        level="note",
        rule="--track was given, and the tracker failed; said on the terminal only",
        sentence="The numbers were not all sent to {tracker}: {reason}. The results are whole.",
        advice="The same command sends what is missing.",
    ),
}


def notice(code: str, row: str = "", *, advise: bool = True, **values: Any) -> Notice:
    """Make a notice of the table.

    Args:
        code: a row of `NOTICES`.
        row: the leaderboard row that it is about; "" for the whole run.
        advise: whether the advice fits the case.
        values: for the braces of the sentence.
    """
    kind = NOTICES[code]
    sentence = kind.sentence.format(**values)
    text = f"{sentence} {kind.advice}" if advise and kind.advice else sentence
    return Notice(level=kind.level, text=text, row=row, code=code)


def known_codes(codes: Iterable[str]) -> list[str]:
    """Return codes in upper case, sorted, each once.

    Raises:
        SteelbenchError: for a code that `NOTICES` lacks.
    """
    return sorted({choose("notice", code.upper(), NOTICES) for code in codes})


def as_markdown() -> str:
    """Return `docs/notices.md`."""
    lines = [
        "# Notices",
        "",
        "What the report and the terminal say before you believe a number. Each notice has a code; `--silence CODE`",
        "of `steelbench run` and `steelbench report` hides it, and the report then says that it was hidden.",
        "This page is the output of `python -m steelbench.notices`.",
        "",
        "*serious*: the number may mean something else than it seems. *caution*: read it with care. *note*: good to",
        "know.",
    ]
    for code, kind in NOTICES.items():
        sentence = re.sub(r"\{(\w+)[^}]*\}", r"<\1>", kind.sentence)
        lines += ["", f"## {code} ({kind.level})", "", f"Said when {kind.rule}.", "", f"`{sentence}`"]
        if kind.advice:
            lines += ["", f"What to do: {kind.advice}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
