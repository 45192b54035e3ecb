"""The reader of `.npz` files from outside: what is declared is bounded before it is read; nothing is unpickled."""

import io
import os
import zipfile

import numpy as np
import pytest
from each import each
from numpy.lib import format as npy

from steelbench.array_files import ArrayFileError, read_arrays, read_declared

MIB = 1 << 20


def test_arrays_are_those_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "float": rng.standard_normal((3, 4)).astype("f4"),
        "fortran": np.asfortranarray(rng.standard_normal((5, 2))),
        "text": np.array(["a", "rißig"]),
        "scalar": np.array(3),
        "none": np.zeros((0, 4), np.float16),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)

        found = read_arrays(tmp_path / "a.npz", max_bytes=MIB)

        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
        declared = read_declared(io.BytesIO((tmp_path / "a.npz").read_bytes()), max_bytes=MIB)
        assert {name: (item.shape, item.dtype, item.bytes) for name, item in declared.items()} == {
            name: (array.shape, array.dtype, array.nbytes) for name, array in arrays.items()
        }


def with_header(path, header, data=b"", *, name="a.npy", more=()):
    """Write an `.npz` whose one array has this text as its header."""
    text = header.encode() if isinstance(header, str) else header
    content = npy.magic(1, 0) + len(text).to_bytes(2, "little") + text + data
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        for member in more:
            archive.writestr(member, content)


def described(shape, dtype="<f4"):
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n"


HOSTILE = {
    "a million million numbers": lambda path: with_header(path, described("(1000000000000,)"), b"\0" * 8),
    "lengths whose product overflows": lambda path: with_header(path, described(f"({2**33}, {2**33})")),
    "a negative length": lambda path: with_header(path, described("(-1, -1)"), b"\0" * 4),
    "elements without bytes": lambda path: with_header(path, described("(1000000000000,)", "<U0")),
    "objects": lambda path: np.savez(path, a=np.array([{}], dtype=object)),
    "a record": lambda path: np.savez(path, a=np.zeros(2, [("x", "f4")])),
    "a header of brackets": lambda path: with_header(path, "[" * 5000),
    "a header of zeros": lambda path: with_header(path, b"\0" * 100),
    "a header that is a number": lambda path: with_header(path, "3\n"),
    "a shape of text": lambda path: with_header(path, described("'a'")),
    "a type that is none": lambda path: with_header(path, described("(1,)", "xyz")),
    "an array twice": lambda path: with_header(path, described("(1,)"), b"\0" * 4, more=["a.npy"]),
    "another file in it": lambda path: with_header(path, described("(1,)"), b"\0" * 4, name="a.txt"),
    "too many arrays": lambda path: with_header(
        path, described("(1,)"), b"\0" * 4, more=[f"{number}.npy" for number in range(2000)]
    ),
    "zeros that unpack to much": lambda path: np.savez_compressed(path, a=np.zeros(MIB, "f4")),
    "a file that is too large": lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 3 * MIB),
    "text": lambda path: path.write_text("no arrays"),
    "nothing": lambda path: path.touch(),
    "a folder": lambda path: path.mkdir(),
    "a file that is not there": lambda path: None,
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@each("make", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_array_within_the_bounds_is_refused(tmp_path, make):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
    make(path)

    for read in (read_declared, read_arrays):
        with pytest.raises(ArrayFileError) as error:
            read(path, max_bytes=MIB)
        assert 0 < len(str(error.value)) < 300 and "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system are not on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")

    with pytest.raises(ArrayFileError, match="no regular file"):
        read_arrays(tmp_path / "a.npz", max_bytes=MIB)


def test_a_changed_byte_is_an_error_or_other_numbers_and_nothing_else(tmp_path):
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    np.savez(path, kernel=rng.standard_normal((6, 3)).astype("f4"), bias=np.zeros(3, "f4"))
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        try:
            found = read_arrays(io.BytesIO(bytes(data)), max_bytes=MIB)
        except ArrayFileError:
            continue
        assert sum(array.nbytes for array in found.values()) <= MIB
