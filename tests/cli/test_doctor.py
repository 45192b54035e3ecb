"""`steelbench doctor`: what it says of processor, GPU and folders; its self-test passes, and fails where it must."""

import pytest

from steelbench.cli.commands.doctor import gpu_words, instructions_words
from steelbench.cli.exit import main
from steelbench.features.engines import ENGINES
from steelbench.inference.exports.formats import FORMATS
from steelbench.machine import CUDA_LIBRARIES, fast_instructions, missing_cuda_libraries


def cpuinfo(tmp_path, flags):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    return file


def test_instructions_are_those_of_the_first_processor(tmp_path):
    assert fast_instructions(cpuinfo(tmp_path, "fpu amx_bf16 avx2 avx512f")) == ["avx2", "avx512f", "amx_bf16"]


def test_without_cpuinfo_nothing_is_claimed(tmp_path):
    assert fast_instructions(tmp_path / "none") is None
    assert "does not say" in instructions_words(None)


@pytest.mark.parametrize(
    ("found", "words"),
    [(["avx2", "amx_bf16"], "--precision bfloat16"), (["avx2", "avx512f"], "float32 is the fastest"), ([], "none of")],
)
def test_the_precision_follows_from_the_instructions(found, words):
    assert words in instructions_words(found)


def test_libraries_that_do_not_open_are_missing():
    def load(name):
        if "cudnn" in name:
            raise OSError(name)

    assert missing_cuda_libraries(load) == ["libcudnn.so.9"]
    assert missing_cuda_libraries(lambda name: name) == []
    assert len(CUDA_LIBRARIES) == len(set(CUDA_LIBRARIES))


@pytest.mark.parametrize(
    ("seen", "present", "missing", "words"),
    [
        (["/physical_device:GPU:0"], True, [], "computes on /physical_device:GPU:0"),
        ([], False, [], "none"),
        ([], True, ["libcudnn.so.9"], "cannot be opened: libcudnn.so.9"),
        ([], True, [], "the driver is older"),
    ],
)
def test_an_idle_gpu_is_said_with_what_is_missing(seen, present, missing, words):
    assert words in gpu_words(seen, present, lambda: missing)


@pytest.mark.slow  # builds, saves and converts a network
def test_the_self_test_passes_and_names_what_is_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["doctor"]) == 0

    out = capsys.readouterr().out
    assert "self-test    decode" in out and "passed in" in out
    for name, row in ENGINES.items():
        assert not row.installed or f"{name}: difference" in out
    for name, row in FORMATS.items():
        assert f"export to {name}: difference" in out or (row.missing and f"{name} needs pip install" in out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # builds and saves a network
def test_an_engine_that_computes_something_else_fails_the_self_test(monkeypatch, capsys):
    def wrong(encoder, _precision, _batch):
        return lambda batches: (encoder(255 - batch, training=False).numpy() for batch in batches)

    monkeypatch.setattr("steelbench.inference.self_test.open_engine", lambda _, *more: wrong(*more))

    assert main(["doctor"]) == 1

    assert "FAILED: the step 'keras' of the self-test failed: a probability differs" in capsys.readouterr().out


def test_data_that_cannot_be_read_is_said_after_the_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("steelbench.cli.commands.doctor._self_test", lambda: True)
    monkeypatch.setattr("steelbench.cli.commands.doctor._gpus", list)

    assert main(["doctor", "--data", str(tmp_path / "none")]) == 2

    found = capsys.readouterr()
    assert "processor" in found.out and "does not exist" in found.err


def test_a_folder_gets_its_layout_a_command_and_a_forecast(tiny_images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("steelbench.cli.commands.doctor._self_test", lambda: True)
    monkeypatch.setattr("steelbench.cli.commands.doctor._gpus", list)
    asked = []
    monkeypatch.setattr("steelbench.cli.commands.doctor.foresee", lambda options, *more: asked.append(options) or 0)
    folder = tiny_images(images=6)

    assert main(["doctor", "--data", str(folder), "--weights-dir", str(tmp_path)]) == 0

    out = capsys.readouterr().out
    assert "class_folders" in out and f"steelbench run --data {folder} --weights-dir {tmp_path}" in out
    assert [(options.data, options.weights_dir) for options in asked] == [(str(folder), tmp_path)]
