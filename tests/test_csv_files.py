"""Tables that people open in a spreadsheet: no cell is computed there, and every name comes back."""

import csv
import io
import os
import tracemalloc

import pytest
from each import each

from steelbench.csv_files import csv_text, escaped, iterate_csv, read_csv, read_csv_text, write_csv

COMPUTED = ["=cmd()", "@SUM(1)", "-2+3+cmd|' /C calc'!A0", "+1+1", "\tx", "\nx", "＝1", "'=1", "''@x"]
PLAIN = ["rißig 锈", 'a,"b"', "rows/000.png", "-2", "+3.5e-4", "'quoted'", "'", "", "a=b", "a-b"]


@each("name", COMPUTED)
def test_what_a_spreadsheet_would_compute_stands_behind_an_apostrophe_and_comes_back(name):
    text = csv_text(["name", "number"], [[name, -1]])

    (_, cells) = csv.reader(io.StringIO(text, newline=""))
    assert cells == [f"'{name}", "-1"]
    assert read_csv_text(text) == [{"name": name, "number": "-1"}]


@each("name", PLAIN)
def test_other_names_and_numbers_are_written_as_they_are(name):
    assert escaped(name) == name
    assert read_csv_text(csv_text(["name"], [["x"], [name]]))[-1:] == ([{"name": name}] if name else [{"name": ""}])


@each("columns", ["", "a,b\n1,2,3\n", "a,b\n1\n"])
def test_lines_of_another_length_are_filled_or_cut(columns):
    assert all(set(line) == {"a", "b"} for line in read_csv_text(columns))


@pytest.mark.parametrize("kind", ["pipe", "folder", "large", "long"])
def test_what_is_no_table_is_refused_and_a_pipe_is_not_waited_for(tmp_path, monkeypatch, kind):
    path = tmp_path / "table.csv"
    write_csv(path, ["a"], [["1"], ["2"]])
    if kind in ("pipe", "folder"):
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    if kind == "large":
        with path.open("r+b") as file:
            file.truncate(1 << 40)

    with pytest.raises((OSError, ValueError), match=r"a named pipe|a folder|bytes|more than 1 lines"):
        read_csv(path, most_rows=1)


def test_a_line_end_inside_of_a_name_stays_inside_of_its_cell():
    rows = [["a\rb.png", "x\ny", 'q"r'], ["c", "d", "e"]]

    assert list(csv.reader(io.StringIO(csv_text(["p", "q", "r"], rows), newline=""))) == [["p", "q", "r"], *rows]


def test_a_long_table_is_written_and_read_without_being_held_as_a_whole(tmp_path):
    path = tmp_path / "table.csv"
    tracemalloc.start()
    try:
        write_csv(path, ["path", "note"], ([f"images/{row}.png", "x" * 80] for row in range(20_000)))
        rows = sum(line["note"] == "x" * 80 for line in iterate_csv(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert rows == 20_000 and path.stat().st_size > 1_900_000
    assert peak < 500_000


def test_a_table_of_the_system_that_says_it_is_empty_is_bounded_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_csv(path, ["a"], [["1"]] * 1000)
    size = path.stat()
    monkeypatch.setattr(type(path), "stat", lambda _, **__: os.stat_result([*size[:6], 0, *size[7:10]]))

    with pytest.raises(OSError, match="more than 50 bytes"):
        list(iterate_csv(path, most_bytes=50))
