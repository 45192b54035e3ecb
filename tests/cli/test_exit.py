"""How a program ends: exit codes, and the one line that says why."""

import errno
import os

import pytest

from steelbench.cli.exit import exit_code, main
from steelbench.errors import SteelbenchError


def ends(error):
    def program():
        raise error

    return exit_code(program)


def caused_by(cause):
    error = RuntimeError("cannot write")
    error.__cause__ = cause
    return error


def sharing_violation():
    error = OSError(errno.EACCES, "Access is denied", "C:/x/.results-1234.csv", None, "C:/x/leaderboard.csv")
    error.winerror = 5
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SteelbenchError("name a folder"), 2, "name a folder"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on where it stopped."),
        (OSError(errno.ENOSPC, "No space left", "x.h5"), 1, "the disk is full (x.h5). Make room; the same command "),
        (OSError(errno.ENOSPC, "No space left"), 1, "the disk is full (while writing). Make room;"),
        (OSError("[Errno 28] Can't close file (file write failed: time = x"), 1, "the disk is full (while writing)"),
        (caused_by(OSError(errno.ENOSPC, "No space left")), 1, "the disk is full (while writing)"),
        (
            OSError(errno.EIO, "Input/output error"),
            1,
            "a file could not be read or written (Input/output error)",
        ),
        (
            OSError(errno.EIO, "Input/output error", "a.tmp", None, "a.csv"),
            1,
            "a.csv could not be read or written (",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x cannot be used (Permission denied); choose "),
        (sharing_violation(), 2, "leaderboard.csv cannot be used (Access is denied); choose another place or change "),
        (ZeroDivisionError("division by zero"), 1, "this is a fault in steelbench: ZeroDivisionError: division by "),
    ],
)
def test_an_error_becomes_one_line_and_a_code(error, code, message, capsys, monkeypatch):
    monkeypatch.setattr("steelbench.cli.exit._discard_output", lambda: 0)

    assert ends(error) == code

    said = capsys.readouterr().err
    assert said.startswith("steelbench: ") and message in said and said.count("\n") == 1


def test_a_file_that_another_program_holds_open_is_told_apart_where_the_system_says_so(capsys):
    assert ends(sharing_violation()) == 2
    assert "or close the program that has it open" in capsys.readouterr().err
    assert ends(PermissionError(errno.EACCES, "Permission denied", "x")) == 2
    assert "close the program" not in capsys.readouterr().err


def test_a_closed_pipe_is_no_error_and_says_nothing(capsys, monkeypatch):
    discarded = []
    monkeypatch.setattr("steelbench.cli.exit._discard_output", lambda: discarded.append(True) or 0)

    assert ends(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 0
    assert discarded and not capsys.readouterr().err


def test_what_windows_calls_a_closed_pipe_is_one_there_only(capsys, monkeypatch):
    monkeypatch.setattr("steelbench.cli.exit._discard_output", lambda: 0)

    assert ends(OSError(errno.EINVAL, "Invalid argument")) == 1
    assert "fault in steelbench" in capsys.readouterr().err
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        code = ends(OSError(errno.EINVAL, "Invalid argument"))
    assert code == 0 and not capsys.readouterr().err


def test_debugging_lets_an_unexpected_error_through(monkeypatch):
    monkeypatch.setenv("STEELBENCH_DEBUG", "1")

    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_a_program_that_returns_ends_with_its_code(result, code):
    assert exit_code(lambda: result) == code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--backbones", "vgg19,", "xception"], "--backbones vgg19,xception."),
        (["--backbones=vgg19,", "xception,", "resnet50", "--seeds", "2"], "--backbones vgg19,xception,resnet50."),
        (["--methods", "softmax", ",linear"], "--methods softmax,linear."),
        (["--seeds", "2", "--methods", "softmax,", "linear"], "--methods softmax,linear."),
    ],
)
def test_a_space_in_a_list_of_names_is_told_as_what_it_is(words, told, capsys):
    assert main(["run", "--data", "nowhere", *words]) == 2

    said = capsys.readouterr().err
    assert "remove the space after the comma" in said and said.strip().endswith(told)


@pytest.mark.parametrize("words", [["--backbones", "vgg19,xception"], ["--backbones", "vgg19,"], ["--methods"]])
def test_lists_without_a_space_are_left_alone(words, capsys):
    assert main(["run", "--data", "nowhere", *words]) == 2
    assert "remove the space" not in capsys.readouterr().err


def test_names_with_commands_of_a_terminal_are_escaped_in_errors(capsys):
    assert main(["run", "--data", "no\x1b[2Jwhere\u202e"]) == 2

    said = capsys.readouterr().err
    assert "no\\x1b[2Jwhere\\u202e" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("words", "typed"),
    [(["run", "--data", "x", "--folds", "many"], "'many'"), (["run", "--data", "x", "--confidence=much"], "'much'")],
)
def test_a_value_of_another_kind_is_repeated_as_typed(words, typed, capsys):
    assert main(words) == 2
    assert typed in capsys.readouterr().err
