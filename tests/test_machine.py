"""The machine: GPUs counted from files, and those that a process may use."""

import pytest

from steelbench.machine import gpu_count, usable_gpus


@pytest.fixture
def machine(tmp_path):
    """A factory: folders that show GPUs as NVIDIA's driver does: its own entries, and nodes among other devices."""

    def make(entries, nodes):
        driver, devices = tmp_path / "gpus", tmp_path / "dev"
        devices.mkdir()
        (devices / "nvidiactl").touch()
        (devices / "nvidia-uvm").touch()
        for number in nodes:
            (devices / f"nvidia{number}").touch()
        for number in range(entries or 0):
            (driver / f"0000:{number:02}:00.0").mkdir(parents=True)
        return driver, devices

    return make


@pytest.mark.parametrize(
    ("entries", "nodes", "count"),
    [
        (None, [], 0),
        (1, [0], 1),
        (4, [0, 1, 2, 3], 4),
        # Nodes come with the first use of a GPU.
        (2, [], 2),
        # A container with two of the host's eight.
        (8, [3, 5], 2),
        (2, range(8), 2),
        # One without the driver's folder.
        (None, [0], 1),
    ],
)
def test_gpus_are_counted_from_files(machine, entries, nodes, count):
    assert gpu_count(*machine(entries, nodes)) == count


@pytest.mark.parametrize(
    ("count", "variable", "names"),
    [
        (4, None, ["0", "1", "2", "3"]),
        (0, None, []),
        (4, "1,3", ["1", "3"]),
        (4, " 3, 1 ", ["3", "1"]),
        (4, "", []),
        (4, "-1", []),
        (4, "2,-1,3", ["2"]),
        (4, "0,4,1", ["0"]),
        (4, "NoDevFiles", []),
        (4, "0,0,1", ["0", "1"]),
        (4, "GPU-8932f937,MIG-1", ["GPU-8932f937", "MIG-1"]),
        (0, "0,1", []),
    ],
)
def test_the_users_choice_of_gpus_is_kept(count, variable, names):
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}

    assert usable_gpus(count, environment) == names
