"""Render the page templates, escaping every value, with pictures as data URIs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelbench.report import formatting

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return the page that a template of `templates/` makes of `context`.

    Raises:
        jinja2.UndefinedError: if the template names what `context` lacks.
    """
    return _environment().get_template(template).render(context)


def data_uri(kind: str, data: bytes) -> str:
    """Return the bytes of a picture as a `data:` address; `kind` is png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def code_spans(text: str) -> Markup:
    """Return escaped text in which `what stands between backticks` is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _environment() -> Environment:
    # Imported here, because Jinja takes a quarter of a second and `steelbench --help` does not need it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Names on a page come from users' files, so everything is escaped, whatever the suffix of the template.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code_spans": code_spans,
        "backbone": formatting.backbone_label,
        "flatten": formatting.flatten,
        "interval": formatting.interval,
        "jpeg": lambda data: data_uri("jpeg", data),
        "label": formatting.row_label,
        "limits": formatting.limits,
        "method": formatting.method_label,
        "number": formatting.number,
        "p_value": formatting.p_value,
        "percent": formatting.percent,
        "png": lambda path: data_uri("png", path.read_bytes()),
        "points": formatting.points,
        "threshold": formatting.threshold,
        "pystring": json.dumps,
        "short": formatting.shorten,
        "split_label": formatting.split_label,
    }
    environment.tests |= {"majority": formatting.is_majority, "untrained": formatting.is_untrained}
    return environment
