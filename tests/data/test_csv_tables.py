"""Tables as programs export them: delimiters, encodings, paths of Windows."""

import time
import tracemalloc

import cv2
import numpy as np
import pytest

from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError

ROWS = ("path,label,split", "img/1.png,Riß,train", "img/2.png,Größe,test")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    for k in (1, 2):
        cv2.imwrite(str(tmp_path / "img" / f"{k}.png"), np.eye(5, dtype=np.uint8) * k)
    return tmp_path


def read(folder, text, encoding="utf-8", name="x.csv"):
    (folder / name).write_bytes(text.encode(encoding))
    return {(s.path, s.label, s.split) for s in read_dataset(str(folder / name))[1].samples}


def refusal(folder, text, encoding="utf-8"):
    with pytest.raises(SteelbenchError) as caught:
        read(folder, text, encoding)
    return str(caught.value)


USUAL = {("img/1.png", "Riß", "train"), ("img/2.png", "Größe", "test")}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "iso8859-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_however_they_were_exported(folder, mark, encoding, end):
    assert read(folder, end.join(ROWS).replace(",", mark) + end, encoding) == USUAL


def test_utf16_of_both_orders_needs_its_mark(folder):
    text = "\n".join(ROWS)

    assert read(folder, "\ufeff" + text, "utf-16-be") == USUAL
    assert "UTF-8" in refusal(folder, text, "utf-16-le")


def test_the_first_line_of_excel_names_the_delimiter_and_counts_as_a_line(folder):
    text = "\r\n".join(("sep=;", *ROWS)).replace(",", ";")

    assert read(folder, text) == USUAL
    assert "line 5" in refusal(folder, text + "\r\nimg/3.png;;")


def test_a_comma_in_a_cell_of_a_table_with_semicolons_is_text(folder):
    assert read(folder, "path;label\nimg/1.png;rough, wide\n") == {("img/1.png", "rough, wide", "")}


def test_a_row_with_another_delimiter_than_the_header_is_named(folder):
    message = refusal(folder, "path,label\nimg/1.png,a\nimg/2.png;b\n")

    assert "line 3" in message and "a semicolon" in message


@pytest.mark.parametrize(
    ("label", "encoding"),
    [("ржавый", "cp1251"), ("fêlure", "cp1252"), ("Risse „", "cp1252"), ("Größe", "cp850"), ("氧化", "gbk")],
)  # fmt: skip
def test_a_code_page_that_is_not_certain_is_refused(folder, label, encoding):
    message = refusal(folder, f"path,label\nimg/1.png,{label}\n", encoding)

    assert "UTF-8" in message and "save it as one" in message


@pytest.mark.parametrize("word", [b"a" * 200_000, b"a\xe4" * 100_000, b"a1" * 100_000])
def test_long_words_of_8_bit_text_take_no_longer_than_others(folder, word):
    (folder / "x.csv").write_bytes(b"path,label,note\nimg/1.png,a,\nimg/2.png,R\xe4nder,\n,," + word)

    start = time.process_time()
    with pytest.raises(SteelbenchError):
        read_dataset(str(folder / "x.csv"))
    assert time.process_time() - start < 2


def test_a_word_of_another_code_page_is_quoted_in_part(folder):
    message = refusal(folder, f"path,label\nimg/1.png,{'ä' * 100_000}\n", "cp1252")

    assert "seems to be of another code page" in message and len(message) < 400


def test_columns_that_no_one_asks_for_are_not_kept(folder):
    table = "path,label," + ",".join(f"c{number}" for number in range(8000)) + "\n"
    (folder / "x.csv").write_text(table + "".join(f"img/{number}.png,a\n" for number in range(12_000)))

    tracemalloc.start()
    start = time.process_time()
    samples = read_dataset(str(folder / "x.csv"))[1].samples
    assert len(samples) == 12_000 and time.process_time() - start < 5
    # Half of it is room for the largest table, which is never written to.
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()


LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path," + ",".join(f"c{number}" for number in range(100_000)), "c8 and 99991 more."),
        (f"path,{LONG}\n", "lacks the column label"),
        (f"path,label,split\nimg/1.png,a,{LONG}\n", "split 'xxx"),
        (f"path,label\n../{LONG},a\n", "leaves the CSV's folder"),
        (f"path,label\na\\{LONG},a\n", "has backslashes"),
        (f"path,label\n{LONG},\n", "path or label is empty"),
        ('path,label\nimg/1.png,"' + LONG + '\ra"\n', "holds a carriage return"),
        (f"path,label\nimg/{LONG},a\nimg/{LONG},a\n", "is listed twice"),
    ],
    ids=["columns", "column", "split", "outside", "backslash", "empty", "label", "twice"],
)  # fmt: skip
def test_long_values_are_quoted_in_part(folder, text, told):
    message = refusal(folder, text)

    assert told in message and len(message) < len(str(folder)) + 500


@pytest.mark.parametrize("name", ["img/1\0.png", "img\0/../../1.png"])
def test_a_path_with_a_nul_character_is_said_to_hold_one(folder, name):
    message = refusal(folder, f"path,label\n{name},a\n")

    assert "line 2" in message and "holds a NUL character" in message and "leaves" not in message


def test_a_file_that_is_too_large_for_a_table_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("steelbench.data.layouts.csv_rows.MAX_BYTES", 10)

    assert "more than the 10" in refusal(folder, "path,label\nimg/1.png,a\n")


def test_backslashes_are_slashes_where_the_file_is_found_that_way(folder):
    (folder / "odd\\name.png").write_bytes((folder / "img" / "1.png").read_bytes())

    found = read(folder, "path,label\nimg\\1.png,a\n.\\img\\2.png,b\nodd\\name.png,c\nimg\\gone.png,d\n")

    assert {path for path, _, _ in found} == {"img/1.png", "img/2.png", "odd\\name.png", "img/gone.png"}


@pytest.mark.parametrize("name", ["C:\\data\\img\\1.png", "\\\\server\\img\\1.png", "pictures\\1.png", "x\0\\1.png"])
def test_backslashes_that_lead_nowhere_are_named(folder, name):
    message = refusal(folder, f"path,label\n{name},a\n")

    assert "line 2" in message and "backslashes" in message and "/" in message


def test_backslashes_do_not_lead_out_of_the_folder(folder):
    (folder / "data").mkdir()
    (folder / "data" / "1.png").write_bytes((folder / "img" / "1.png").read_bytes())

    with pytest.raises(SteelbenchError, match="leaves the CSV's folder"):
        read(folder / "data", "path,label\n1.png,a\n..\\img\\1.png,b\n")


def test_a_column_is_known_by_its_name_in_any_case(folder):
    text = "Path,LABEL,Split,Group\nimg/1.png,a,train,7\nimg/2.png,b,test,7\n"
    (folder / "x.csv").write_text(text)

    samples = read_dataset(str(folder / "x.csv"))[1].samples

    assert [(own.label, own.split, own.group) for own in samples] == [("a", "train", "7"), ("b", "test", "7")]


def test_of_two_columns_of_one_name_the_one_that_is_spelled_right_counts(folder):
    (folder / "x.csv").write_text("path,label,Group,group\nimg/1.png,a,7,8\nimg/2.png,b,7,9\n")

    assert [own.group for own in read_dataset(str(folder / "x.csv"))[1].samples] == ["8", "9"]
