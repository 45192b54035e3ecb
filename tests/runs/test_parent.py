"""What a worker process tells of something that failed."""

import errno

import pytest

from steelbench.errors import SteelbenchError
from steelbench.runs.parent import reason_of


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SteelbenchError("no weights for it.\nmore"), "no weights for it."),
        (ValueError("\n shapes differ \n(3, 4)"), "ValueError: shapes differ"),
        (KeyError(), "KeyError: "),
        (RuntimeError("x" * 1000), "RuntimeError: " + "x" * 400),
    ],
)
def test_a_reason_is_one_line(error, told):
    assert reason_of(error) == told


def test_a_full_disk_is_told_whatever_was_raised_of_it():
    full = OSError(errno.ENOSPC, "No space left on device")
    later = RuntimeError("cannot save")
    later.__cause__ = full

    assert reason_of(full) == reason_of(later) and reason_of(full).startswith("the disk is full")
