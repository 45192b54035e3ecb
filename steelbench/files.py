"""Where steelbench keeps what can be made again: demo images, features."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`STEELBENCH_CACHE`, else `$XDG_CACHE_HOME/steelbench`, else `~/.cache/steelbench`."""
    named = os.environ.get("STEELBENCH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelbench"
