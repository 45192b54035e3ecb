"""Part files: what they hold, how other programs read them, and that damage is found."""

import hashlib
import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from steelbench.inference.archives.parts import (
    DamagedPartError,
    Row,
    part_bytes,
    part_numbers,
    part_path,
    read_part,
    sweep,
    write_part,
)
from steelbench.inference.archives.record import Embedded

EMBEDDED = Embedded(
    backbone="small",
    image_size=32,
    bit_depth=None,
    weights={"kind": "random"},
    engine="keras",
    engine_version="1",
    keras="3",
    precision="float32",
    batch=8,
    dim=4,
)
ROWS = [Row("=a.png", "0" * 64, ""), Row("b/é.png", "", "no such file"), Row("c.png", "1" * 64, "")]
VECTORS = np.arange(8, dtype=np.float32).reshape(2, 4)


def test_a_part_is_read_by_pandas_and_pyarrow(tmp_path):
    write_part(tmp_path, 7, part_bytes(ROWS, VECTORS, EMBEDDED))

    path = part_path(tmp_path, 7)
    assert path.name == "part-000007.parquet" and part_numbers(tmp_path) == [7]
    table = pd.read_parquet(tmp_path)
    assert [*table] == ["path", "sha256", "embedding", "reason"]
    assert table["path"].tolist() == ["=a.png", "b/é.png", "c.png"] and table["reason"][1] == "no such file"
    np.testing.assert_array_equal(np.stack(table["embedding"].dropna()), VECTORS)
    assert np.stack(table["embedding"].dropna()).dtype == np.float32
    assert str(pq.read_schema(path).field("embedding").type) == "fixed_size_list<element: float>[4]"


def test_what_is_known_of_a_part_is_read_back(tmp_path):
    part = read_part(part_bytes(ROWS, VECTORS, EMBEDDED, "a note"))

    assert part.paths == [row.path for row in ROWS] and part.unreadable == 1
    assert part.embedded == EMBEDDED and part.note == "a note"
    assert part_bytes(ROWS, VECTORS, EMBEDDED) == part_bytes(ROWS, VECTORS, EMBEDDED)


def test_a_part_without_a_readable_image_is_a_part():
    rows = [Row("a.png", "", "the file is empty")]

    assert read_part(part_bytes(rows, np.zeros((0, 4), np.float32), EMBEDDED)).unreadable == 1


def test_damage_anywhere_is_found():
    rng = np.random.default_rng(0)
    rows = [Row(f"{number}.png", hashlib.sha256(bytes([number])).hexdigest(), "") for number in range(60)]
    whole = part_bytes(rows, rng.normal(size=(60, 4)).astype(np.float32), EMBEDDED)
    expected = read_part(whole)
    table = pq.read_table(io.BytesIO(whole))

    for end in (0, 3, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DamagedPartError):
            read_part(whole[:end])
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            found = read_part(bytes(damaged))
        except DamagedPartError:
            continue
        # What it says of its embeddings is compared with the folder's record.
        assert found.embedded != EMBEDDED or found.paths == expected.paths
        assert found.embedded != EMBEDDED or pq.read_table(io.BytesIO(damaged)).equals(table)


def test_two_rows_of_one_path_are_no_part():
    with pytest.raises(DamagedPartError, match="two of one path"):
        read_part(part_bytes([ROWS[0], ROWS[0]], VECTORS, EMBEDDED))


def test_temporary_files_of_a_killed_command_are_swept_and_no_others(tmp_path):
    names = [".part-000001-0a1b2c3d.parquet", "._extract-0a1b2c3d.json", ".lock", ".mine-0a1b2c3d.parquet"]
    for name in names:
        (tmp_path / name).touch()

    sweep(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".mine-0a1b2c3d.parquet"]
