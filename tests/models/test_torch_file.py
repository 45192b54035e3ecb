"""Files of PyTorch's legacy layout, written here without PyTorch: what is read from them, and what is refused."""

import hashlib
import io
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.models.torch_file import MAGIC, PROTOCOL, read_state

RNG = np.random.default_rng(0)


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Storage:
    def __init__(self, kind, key, array):
        self.kind, self.key, self.array = kind, key, array


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        if isinstance(item, Storage):
            return "storage", item.kind, item.key, "cpu", item.array.size, None
        return None


@pytest.fixture
def torch(monkeypatch):
    """Modules by the names that such a file holds; nothing in them is ever called."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}

    def _rebuild_tensor_v2():
        raise AssertionError("called")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(modules["torch"], name, type(name, (), {"__module__": "torch"}))
    modules["torch"]._utils = modules["torch._utils"]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules["torch"]


def tensor(torch, storage, offset, shape, strides):
    return Reduced(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, OrderedDict())


def written(state, storages, length=None):
    """The bytes of a file: four pickles, the keys, then each storage with its length before it."""
    file = io.BytesIO()
    for item in (MAGIC, PROTOCOL, {"little_endian": True}, state, [storage.key for storage in storages]):
        Pickler(file, 2).dump(item)
    for storage in storages:
        file.write((length or storage.array.size).to_bytes(8, "little") + storage.array.tobytes())
    return file.getvalue()


@pytest.fixture
def good(torch):
    """The bytes of a file with a transposed kernel, a view into the middle of a storage, and a counter."""
    numbers = Storage(torch.FloatStorage, "7", RNG.standard_normal(24).astype("<f4"))
    counter = Storage(torch.LongStorage, "8", np.array([3], "<i8"))
    state = OrderedDict(
        kernel=tensor(torch, numbers, 0, (2, 3, 4), (1, 2, 6)),
        bias=tensor(torch, numbers, 10, (5,), (2,)),
        steps=tensor(torch, counter, 0, (), ()),
    )
    return written(state, [numbers, counter]), numbers.array


def read(content, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    return read_state(path, hashlib.sha256(content).hexdigest())


def refused(content, tmp_path, words):
    with pytest.raises(SteelbenchError, match=words) as error:
        read(content, tmp_path)
    assert str(tmp_path / "net.pth") in str(error.value) and "\n" not in str(error.value)


def test_views_are_read_by_their_offset_and_strides(good, tmp_path):
    content, numbers = good

    state = read(content, tmp_path)

    assert list(state) == ["kernel", "bias", "steps"]
    np.testing.assert_array_equal(state["kernel"], numbers.reshape(4, 3, 2).transpose())
    np.testing.assert_array_equal(state["bias"], numbers[10:20:2])
    assert state["kernel"].flags.c_contiguous and state["kernel"].dtype == np.float32
    # Of one number, but of no dimension.
    assert state["steps"].shape == () and state["steps"] == 3 and state["steps"].dtype == np.int64


def test_without_strides_a_kernel_would_have_the_right_shape_and_wrong_numbers(good, tmp_path):
    content, numbers = good

    kernel = read(content, tmp_path)["kernel"]

    assert numbers.reshape(2, 3, 4).shape == kernel.shape
    assert np.abs(numbers.reshape(2, 3, 4) - kernel).max() > 0.5


def test_one_changed_byte_is_refused_before_anything_is_unpickled(good, tmp_path, monkeypatch):
    content, _ = good
    path = tmp_path / "net.pth"

    def refuse(*_):
        raise AssertionError("unpickled")

    monkeypatch.setattr("steelbench.models.torch_file._load", refuse)
    for place in (0, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(SteelbenchError, match="sha256"):
            read_state(path, hashlib.sha256(content).hexdigest())


def test_a_file_that_is_cut_off_is_refused_at_every_length(good, tmp_path):
    content, _ = good

    for length in range(0, len(content), 7):
        refused(content[:length], tmp_path, "holds no weights in torch's legacy layout")
    refused(content[:-1], tmp_path, "cut off")
    refused(content + b"\0", tmp_path, "goes on")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.system, ("touch TOUCHED",)), (eval, ("1",)), (getattr, (OrderedDict, "x")), (bytearray, (3,))],
    ids=["system", "eval", "getattr", "bytearray"],
)
def test_any_other_global_is_refused_and_not_called(torch, tmp_path, monkeypatch, function, arguments):
    monkeypatch.chdir(tmp_path)

    refused(written(OrderedDict(x=Reduced(function, *arguments)), []), tmp_path, "which no file of weights needs")

    assert not (tmp_path / "TOUCHED").exists()


def test_another_kind_of_number_is_refused(torch, tmp_path):
    half = Storage(torch.HalfStorage, "0", np.zeros(2, "<f2"))

    refused(written(OrderedDict(x=tensor(torch, half, 0, (2,), (1,))), [half]), tmp_path, "torch.HalfStorage")


def test_a_zip_is_refused(tmp_path):
    refused(b"PK\x03\x04" + bytes(100), tmp_path, "is a zip")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2, 2), (5, 1)), (0, (2,), (-1,)), (-1, (2,), (1,))],
)
def test_a_view_that_reaches_outside_of_its_storage_is_refused(torch, tmp_path, offset, shape, strides):
    numbers = Storage(torch.FloatStorage, "0", np.zeros(6, "<f4"))

    refused(written({"x": tensor(torch, numbers, offset, shape, strides)}, [numbers]), tmp_path, "holds no weights")


def test_a_storage_of_another_length_than_its_tensors_say_is_refused(torch, tmp_path):
    numbers = Storage(torch.FloatStorage, "0", np.zeros(6, "<f4"))

    refused(written({"x": tensor(torch, numbers, 0, (6,), (1,))}, [numbers], length=5), tmp_path, "another length")
