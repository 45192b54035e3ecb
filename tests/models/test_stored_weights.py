"""Files of weights whose numbers are links, lie elsewhere, are none, or are nested absurdly deep: refused at once."""

import time

import h5py
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.models.weight_files import stored_values

NETWORK = "mobilenet_v2_035"


def soft(file, path):
    file["layers/link"] = h5py.SoftLink("/layers/block")


def external(file, path):
    file["layers/link"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/x")


def elsewhere(file, path):
    path.with_name("numbers.bin").write_bytes(bytes(400))
    file.create_dataset("layers/kernel", (100,), "f4", external=[(str(path.with_name("numbers.bin")), 0, 400)])


def virtual(file, path):
    layout = h5py.VirtualLayout((100,), "f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "x", (100,))
    file.create_virtual_dataset("layers/kernel", layout)


def deep(file, path):
    group = file
    for _ in range(3000):
        group = group.create_group("g")
    group["kernel"] = np.ones(100, "f4")


def infinite(file, path):
    _filled(file, np.nan)


def _filled(file, value):
    from steelbench.models.backbones import BACKBONES

    file["layers/kernel"] = np.full(BACKBONES[NETWORK].params, value, "f4")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (soft, "holds a link in place of 'layers/link'"),
        (external, "holds a link in place of 'layers/link'"),
        (elsewhere, "numbers of 'layers/kernel' in another file"),
        (virtual, "numbers of 'layers/kernel' in another file"),
        (deep, "more than 40 groups within each other"),
        (infinite, "NaN or infinity"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_file_that_is_no_plain_table_of_numbers_is_refused_before_the_run(
    spoil, words, more, tiny_images, tmp_path, capsys
):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers/block")
        spoil(file, path)
    start = time.perf_counter()
    line = ["--backbones", NETWORK, "--weights", str(path), "--results", str(tmp_path / "results")]

    assert main(["run", "--data", str(tiny_images(images=6)), *line, *more]) == 2

    said = [line for line in capsys.readouterr().err.splitlines() if str(path) in line]
    assert len(said) == 1 and words in said[0] and said[0].endswith("."), said
    assert time.perf_counter() - start < 10
    assert not (tmp_path / "results" / "runs").exists()


def test_each_data_set_counts_once_and_a_group_in_itself_ends(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file["layers/kernel"] = np.ones((2, 3), "f4")
        file["again"] = file["layers/kernel"]
        file["layers/up"] = file["/"]
        file["none"] = h5py.Empty("f4")
        file["optimizer/m"] = np.ones(5, "f4")

    assert stored_values(path) == 6
