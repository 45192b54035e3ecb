"""`steelbench audit --data DIR`: findings as tables and a page, the main ones as sentences."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import ProgressDisplay

# Text on the terminal for each stage of the audit.
STAGES = {
    "reading": "reading images",
    "features": "describing images",
    "matches": "comparing images",
    "pixels": "comparing pixels of pairs",
    "attributes": "looking for shortcuts in images",
}


def run_audit(data: str, out: Path, include_none: bool, bit_depth: int | None) -> None:
    """Audit a data set, write the findings and their page into `out`, print the main findings.

    Args:
        data: a folder, a CSV file or `demo`.
        out: folder for `audit.json`, `pairs.csv`, `groups.csv`, `audit.html`.
        include_none: whether Severstal's images without a defect are a class.
        bit_depth: used bits of 16-bit files; None means all 16.
    """
    from steelbench.audit.audit import audit_data
    from steelbench.audit.findings import write_audit
    from steelbench.audit.labels import check_labels
    from steelbench.audit.thumbnails import draw_files, draw_pairs
    from steelbench.report.audit_page import label_sentence, shown_files, summary_sentences, write_audit_page

    with ProgressDisplay() as terminal:
        found = audit_data(
            data,
            include_none=include_none,
            bit_depth=bit_depth,
            progress=lambda stage, done, total: terminal(STAGES[stage], "", done, total),
        )
        terminal("judging labels", "", 0, 0)
        found = check_labels(found)
        write_audit(out, found)
        pairs, files = draw_pairs(found.root, found.pairs, bit_depth), shown_files(found)
        write_audit_page(out, found, pairs, draw_files(found.root, files, bit_depth))
    print(*summary_sentences(found), label_sentence(found), sep="\n")
    print(out / "audit.html")
