"""Templates: what becomes of text."""

from steelbench.report.page_template import code_spans


def test_text_between_backticks_is_code_and_stays_escaped():
    assert code_spans("type `a <b>` & run") == "type <code>a &lt;b&gt;</code> &amp; run"
    assert code_spans("one ` alone") == "one ` alone"
