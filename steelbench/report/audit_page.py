"""Write `audit.html`, one file that shows what the audit of a data set found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelbench.data.crops import split_address
from steelbench.files import write_text
from steelbench.report import formatting
from steelbench.report.formatting import count
from steelbench.report.page_template import data_uri, render

if TYPE_CHECKING:
    from steelbench.audit.findings import AuditResult
    from steelbench.audit.thumbnails import PairThumbnail

KINDS = {
    "exact": "equal pixels",
    "near": "the same picture, changed a little",
    "mirrored": "mirrored",
    "rotated": "rotated",
    "overlap": "overlapping crops",
}
SHOWN_FILES = 12
SHOWN_LABELS = 20


def write_audit_page(
    out: Path, audit: AuditResult, pairs: Sequence[PairThumbnail], pictures: Mapping[str, bytes]
) -> Path:
    """Write `audit.html` and its figure, `brightness.png`, into `out`.

    Args:
        out: the folder that also holds the tables.
        audit: the findings to show.
        pairs: pictures of some pairs, in the order to show them.
        pictures: JPEG bytes of the files that `shown_files` names; one may be missing.

    Returns:
        The path of the page.
    """
    from steelbench.report.figures.brightness import brightness
    from steelbench.report.figures.style import figure_style, save

    with figure_style():
        save(brightness(audit.brightness), out / "brightness.png")
    page = out / "audit.html"
    context = _context(audit) | {
        "pairs": pairs,
        "pictures": pictures,
        "brightness": data_uri("png", (out / "brightness.png").read_bytes()),
    }
    # A file name may hold half a surrogate pair; it must not stop the page.
    text = render("audit.html.j2", context)
    write_text(page, text.encode("utf-8", "replace").decode("utf-8"))
    return page


def shown_files(audit: AuditResult) -> list[str]:
    """Return the files that the page shows one by one: those with the most suspicious labels, then doubtful images.

    At most `SHOWN_LABELS` with suspicious labels, and `SHOWN_FILES` of each kind of doubtful image.
    """
    doubtful = [file for files in audit.doubtful.values() for file in files[:SHOWN_FILES]]
    return [*(label.file for label in audit.suspicious[:SHOWN_LABELS]), *doubtful]


def _context(audit: AuditResult) -> dict[str, Any]:
    counts = audit.inspection.counts
    return {
        "audit": audit,
        "title": "demo" if audit.name == "demo" else audit.root.name or audit.name,
        "images": len(audit.inspection.images),
        "counts": counts,
        "largest": counts[audit.largest_class],
        "kinds": [(KINDS[kind], number) for kind, number in audit.pair_kinds.most_common()],
        "sentences": summary_sentences(audit),
        "label_sentence": label_sentence(audit),
        "notices": _notices(audit),
        "kind_names": KINDS,
        "shown": SHOWN_FILES,
        "shown_labels": SHOWN_LABELS,
    }


def summary_sentences(audit: AuditResult) -> list[str]:
    """Return sentences on the images that share pixels, most important first."""
    crops = any(split_address(file)[1] for file in audit.groups)
    if not audit.pairs and not crops:
        return [f"No two of the {len(audit.inspection.images)} images were found to share pixels."]
    share = formatting.percent(audit.grouped_images / len(audit.groups))
    leaks = [f"{formatting.percent(leak)} of the test images ({split})" for split, leak in audit.leaks.items()]
    if crops:
        return [
            f"Of a random split, {formatting.join(leaks)} are expected to be cut out of the image of a training crop, "
            "or of one that shares pixels with it.",
            f"{audit.grouped_images} of {len(audit.groups)} crops ({share}) are tied so to another one; they form "
            f"{count(audit.shared_groups, 'group')}, which must stay on one side of a split.",
        ]
    return [
        f"Of a random split, {formatting.join(leaks)} are expected to share pixels with a training image.",
        f"{audit.grouped_images} of {len(audit.groups)} images ({share}) share pixels with another one; they form "
        f"{count(audit.shared_groups, 'group')}, which must stay on one side of a split.",
    ]


def label_sentence(audit: AuditResult) -> str:
    """Return a sentence on how many labels are suspicious to which classifier, or on how to look for them."""
    check = audit.label_check
    if check is None:
        return (
            "Suspicious labels were not looked for, as no features of these images are cached: run "
            "`steelbench run --data DIR` once, then audit again."
        )
    if check.reason:
        return f"Suspicious labels could not be looked for: {check.reason}."
    flagged = audit.flagged_labels
    hint = (
        " The backbone is untrained (random weights), so this is a hint at best." if check.weights == "random" else ""
    )
    return (
        f"{flagged} of {count(check.images, 'label')} {'looks' if flagged == 1 else 'look'} wrong to a classifier on "
        f"{check.backbone} features that has seen neither the image nor one that shares pixels with it; "
        f"{len(audit.suspicious) - flagged} more images it would label otherwise, but they may just be hard.{hint}"
    )


def _notices(audit: AuditResult) -> list[tuple[str, str]]:
    # Equal pixels under two labels (SB111) are among the pictures that are shown as such.
    told = [notice for notice in audit.inspection.notices if notice.code != "SB111" or not audit.conflicts]
    notices: list[tuple[str, str]] = [(notice.level, notice.text) for notice in told]
    if audit.leaks and max(audit.leaks.values()) >= 0.02:
        text = (
            "A random split of this data would partly measure memory; `steelbench run` keeps such images together, "
            "other programs do not."
        )
        notices.append(("serious", text))
    if audit.conflicts:
        verb = "carries" if len(audit.conflicts) == 1 else "carry"
        text = f"{count(len(audit.conflicts), 'picture')} {verb} two labels."
        notices.append(("serious", text))
    if flagged := audit.flagged_labels:
        text = f"{count(flagged, 'label')} {'looks' if flagged == 1 else 'look'} wrong; the pictures are below."
        notices.append(("caution", text))
    for shortcut in (shortcut for shortcut in audit.shortcuts if shortcut.notable):
        text = (
            f"The {shortcut.attribute} alone tells the class of {formatting.percent(shortcut.accuracy)} of the images; "
            f"always naming the largest class, {formatting.percent(shortcut.majority)}."
        )
        notices.append(("caution" if shortcut.outside else "note", " ".join((text, *shortcut.facts[:2]))))
    return notices
