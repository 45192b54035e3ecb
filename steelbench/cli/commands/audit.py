"""`steelbench audit --data DIR`: findings as tables and a page, the main ones as sentences."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.recognised import say_recognised
from steelbench.cli.terminal import result, say
from steelbench.experiment import DataOptions
from steelbench.printable import shown

# Text on the terminal for each stage of the audit.
STAGES = {
    "reading": "reading images",
    "features": "describing images",
    "matches": "comparing images",
    "pixels": "comparing pixels of pairs",
    "attributes": "looking for shortcuts in images",
    "labels": "judging labels in folds",
    "drawing": "drawing pairs",
}


def run_audit(options: DataOptions, out: Path) -> None:
    """Audit a data set, write the findings and their page into `out`, print the main findings.

    Args:
        options: the data and how it is read.
        out: folder for `audit.json`, `pairs.csv`, `groups.csv`, `audit.html`.
    """
    from steelbench.audit.audit import audit_data
    from steelbench.audit.findings import write_audit
    from steelbench.audit.labels import check_labels
    from steelbench.audit.thumbnails import draw_files, draw_pairs
    from steelbench.report.audit_page import label_sentence, shown_files, summary_sentences, write_audit_page
    from steelbench.runs.results_folder import refuse_unusable_cache, refuse_unwritable

    refuse_unwritable("--out", out)
    refuse_unusable_cache()
    with ProgressDisplay() as terminal:
        say_recognised(options)

        def progress(stage: str, done: int, total: int) -> None:
            terminal(STAGES[stage], "", done, total)

        found = audit_data(options, progress=progress)
        terminal("judging labels", "", 0, 0)
        found = check_labels(found, progress)
        write_audit(out, found)
        pairs, files = draw_pairs(found.root, found.pairs, options.bit_depth, progress), shown_files(found)
        write_audit_page(out, found, pairs, draw_files(found.root, files, options.bit_depth))
    for notice in found.inspection.notices:
        say(f"{notice.level}: {notice.text}")
    print(*map(shown, (*summary_sentences(found), label_sentence(found))), sep="\n")
    print(result(str(out / "audit.html")))
