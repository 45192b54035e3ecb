"""Changes of one file or name, each drawn from a random generator: bytes, JSON, CSV, npz, HDF5, images, names."""

import csv
import io
import json
import os
import shutil
import struct
import zipfile
from copy import deepcopy

import numpy as np

NAMES = (
    "=cmd()", "@SUM(1)", "-2+3", "+1", "\x1b[31mred", "line\nend", "tab\there", "cr\rhere", "quo\"te", "com,ma", "a;b",
    "é" * 100, "x" * 250, " lead", "trail ", "..x", "\u202eevil", "nul?", "%s%n", "${HOME}", "<b>x</b>", "'", "--out",
    b"bad\xff\xfe", b"\x80", "\u2028", "\x7f", "#1,2,3,4", "[a]*", "~", "con", "\ud83d\ude00", "\x9b31m",
)  # fmt: skip
ODD = (
    None, True, [], {}, "", "x" * 100_000, -1, 0, 0.5, 1e308, 10**400, float("nan"), float("inf"),
    "../../guard/sentinel",
    "\x1b[2J", "=1+1", [[]], {"a": 1}, 2**63, -0.0, "\ud800", "a\nb", [None] * 5000, "/etc/hostname", "NaN",
)  # fmt: skip


def one(rng, choices):
    """One of the choices; NumPy would turn them into an array."""
    return choices[int(rng.integers(len(choices)))]


def flipped(data, rng):
    data = bytearray(data)
    for _ in range(int(one(rng, (1, 1, 1, 3, 20)))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def truncated(data, rng):
    return data[: int(rng.integers(len(data)))]


def spliced(data, rng):
    a, b, size = (int(rng.integers(len(data))) for _ in range(3))
    return data[:a] + data[b : b + size] + data[a + size // 2 :]


def garbage(data, rng):
    head = data[: int(one(rng, (0, 0, 8, 64)))]
    return head + rng.bytes(int(rng.integers(1, 3000)))


def numbers(data, rng):
    """Four or eight bytes, as a header holds its lengths, become an extreme number."""
    place = int(rng.integers(min(len(data), one(rng, (64, 512, len(data))))))
    new = one(rng, (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, struct.pack("<I", 9999), b"\x80\0\0\0"))
    return data[:place] + new + data[place + len(new) :]


def empty(data, rng):
    return b""


def brackets(data, rng):
    return one(rng, (b"[", b'{"a":')) * int(one(rng, (50, 2000, 200_000)))


BYTES = (flipped, flipped, truncated, spliced, garbage, numbers, empty)


def edit_bytes(path, rng):
    if not path.stat().st_size:
        return path.write_bytes(rng.bytes(20))
    return path.write_bytes(one(rng, BYTES)(path.read_bytes(), rng))


def places(value, found=()):
    """The paths of all values inside a JSON value."""
    yield found
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*found, key))


def edit_json(path, rng):
    if rng.random() < 0.25:
        return path.write_bytes(one(rng, (*BYTES, brackets))(path.read_bytes(), rng))
    return path.write_text(json.dumps(changed_json(json.loads(path.read_text()), rng)))


def changed_json(root, rng):
    """A JSON value in which one to three places hold something else, are missing or are doubled."""
    for _ in range(int(one(rng, (1, 1, 3)))):
        *way, last = one(rng, [way for way in places(root) if way] or [(None,)])
        if last is None:
            return odd(rng)
        inside = root
        for key in way:
            inside = inside[key]
        if rng.random() < 0.2:
            del inside[last]
        elif isinstance(inside, list) and rng.random() < 0.3:
            inside.append(deepcopy(inside[last]))
        else:
            inside[last] = odd(rng) if rng.random() < 0.7 else nudged(inside[last], rng)
    return root


def odd(rng):
    """A value that is not expected; a copy, or a list could come to hold itself."""
    return deepcopy(one(rng, ODD))


def nudged(value, rng):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return type(value)(one(rng, (value + 1, value * 2, -value, value - 1)))
    return value[::-1] if isinstance(value, str | list) else value


def edit_csv(path, rng):
    if rng.random() < 0.3:
        return path.write_bytes(one(rng, BYTES)(path.read_bytes(), rng) if path.stat().st_size else b"\xff")
    rows = list(csv.reader(path.read_text().splitlines()))
    row = one(rng, rows)
    cell = int(rng.integers(len(row)))
    change = int(rng.integers(8))
    if change < 3:
        row[cell] = str(one(rng, (*ODD, *NAMES)))
    elif change == 3:
        row.insert(cell, row[cell])
    elif change == 4:
        del row[cell]
    elif change == 5:
        rows.append(list(row))
    elif change == 6:
        rows.remove(row)
    else:
        other = one(rng, rows)
        row[cell] = other[cell] if cell < len(other) else ""
    text = io.StringIO()
    csv.writer(text, lineterminator=one(rng, ("\n", "\r\n", "\r"))).writerows(rows)
    return path.write_bytes(text.getvalue().encode(errors="surrogatepass") + one(rng, (b"", b"", b'"open', b"\0")))


def edit_npz(path, rng):
    """An archive whose arrays have another shape, type or header, or whose bytes are damaged."""
    if rng.random() < 0.4 or not zipfile.is_zipfile(path):
        return edit_bytes(path, rng)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = one(rng, list(members))
    header = one(rng, (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }\n",
        "{'descr': '<U9', 'fortran_order': False, 'shape': (2,), }\n",
        "(" * 5000,
    ))  # fmt: skip
    arrays = (np.zeros((0, 3), "f4"), np.full((6, 3), np.nan, "f4"), np.ones((6, 3)), np.array("text"), np.ones(10**6))
    new = io.BytesIO()
    np.save(new, one(rng, arrays))
    made = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 12
    change = one(rng, ("array", "header", "gone", "bytes"))
    members[name] = {"array": new.getvalue(), "header": made, "gone": b"", "bytes": flipped(members[name], rng)}[change]
    with zipfile.ZipFile(path, "w") as archive:
        for own, data in members.items():
            if change != "gone" or own != name:
                archive.writestr(own, data)
    return None


def edit_h5(path, rng):
    """A network whose configuration, attributes or sets say something else; its card is not sealed here."""
    import h5py

    kind = one(rng, ("config", "config", "config", "set", "set", "attribute", "bytes"))
    if kind == "bytes":
        return edit_bytes(path, rng)
    with h5py.File(path, "r+") as file:
        if kind == "config":
            config = changed_json(json.loads(file.attrs["model_config"]), rng)
            file.attrs["model_config"] = json.dumps(config)
        elif kind == "attribute":
            file.attrs[one(rng, ("model_config", "keras_version", "backend"))] = one(rng, ("", "[" * 5000, 3, "1.0"))
        else:
            edit_set(file, rng, h5py)
    return None


def edit_set(file, rng, h5py):
    sets = []
    file.visititems(lambda name, item: sets.append(name) if isinstance(item, h5py.Dataset) else None)
    name = one(rng, sets)
    old = file[name][()]
    new = one(rng, (
        np.full_like(old, np.nan), np.full_like(old, np.inf), np.full_like(old, 3e38), old.astype("f8"), old[..., :1],
        old.ravel(), old.astype("i4"), np.array(["text"], "S4"), "link", "gone", "large",
    ))  # fmt: skip
    del file[name]
    if isinstance(new, np.ndarray):
        file[name] = new
    elif new == "link":
        file[name] = h5py.ExternalLink("../guard/sentinel", "/x")
    elif new == "large":
        file.create_dataset(name, (30_000, 30_000), "f4", chunks=(1000, 1000))


def edit_image(path, rng):
    """An image of which bytes, lengths in the header or the suffix are others."""
    how = int(rng.integers(10))
    if how == 0:
        other = path.with_suffix(one(rng, (".png", ".jpg", ".bmp", ".tif", ".webp", ".gif", ".csv", ".json", ".PNG")))
        path.rename(other)
        return other
    if how == 1:
        return replace_by_node(path, rng)
    edit_bytes(path, rng)
    return path


def replace_by_node(path, rng):
    """A FIFO, a folder, a link to itself, to nowhere or to a file that must not change, in place of a file."""
    path.unlink()
    how = one(rng, ("fifo", "folder", "loop", "nowhere", "sentinel", "zero"))
    if how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
        (path / "inside").write_text("x")
    else:
        target = {"loop": path, "nowhere": "nowhere", "sentinel": os.environ["HOSTILE_SENTINEL"], "zero": "/dev/zero"}
        path.symlink_to(target[how])
    return path


def rename(path, rng):
    """The same file or folder under a name that commands, quotes or breaks lines; as it was if there is no such."""
    name = one(rng, NAMES)
    name = os.fsencode(name) if isinstance(name, str) else name
    suffix = os.fsencode(path.suffix)
    try:
        return path.rename(path.with_name(os.fsdecode(name[: 250 - len(suffix)] + suffix)))
    except (OSError, ValueError):
        return path


def copy(source, target):
    """A copy of a file or folder, its links as links."""
    if source.is_dir():
        return shutil.copytree(source, target, symlinks=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    return type(target)(shutil.copy(source, target))
