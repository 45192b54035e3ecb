"""`steelbench audit`: what must be known about a data set before a number on it is believed."""

from __future__ import annotations

from pathlib import Path

from steelbench.commands.progress import Terminal


def run_audit(data: str, out: Path, include_none: bool, bit_depth: int | None) -> None:
    """Audit, write the findings and their page, print them in sentences."""
    from steelbench.data.audit import audit_data
    from steelbench.data.audit_pictures import draw_pairs
    from steelbench.report.audit_page import summary_sentences, write_audit_page

    with Terminal() as terminal:
        found = audit_data(
            data,
            out,
            include_none=include_none,
            bit_depth=bit_depth,
            progress=lambda stage, done, total: terminal(stage, "", done, total),
        )
        write_audit_page(out, found, draw_pairs(found.root, found.pairs, bit_depth))
    print(*summary_sentences(found), sep="\n")
    print(out / "audit.html")
