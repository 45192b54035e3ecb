"""`steelbench doctor`: what this machine and this installation can do, and whether they work."""

from __future__ import annotations

import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import steelbench
from steelbench.cli.commands.data_check import check_data
from steelbench.cli.commands.run import foresee
from steelbench.cli.commands.weights import files
from steelbench.cli.options import data_name
from steelbench.cli.requested import Request, make_experiments
from steelbench.cli.suites import Suite
from steelbench.data.readers import recognise
from steelbench.experiment import RunOptions
from steelbench.features.cache import spaces
from steelbench.features.engines import ENGINES
from steelbench.files import cache_folder, unwritable
from steelbench.inference.exports.formats import FORMATS
from steelbench.machine import (
    environment,
    fast_instructions,
    gpu_count,
    missing_cuda_libraries,
    total_memory_gib,
    usable_cores,
)
from steelbench.models.tensorflow_startup import start_tensorflow
from steelbench.models.weight_files import find_file, search_folders
from steelbench.printable import shown

# Of the leaderboard, features and models of a first comparison need less.
LEAST_FREE_GB = 5.0
WIDTH = 13


def examine(data: str | None, weights_dir: Path | None) -> int:
    """Print what is here, run the self-test, and with a data folder say what to type and how long it takes.

    Args:
        data: the option `--data`; None for the machine alone.
        weights_dir: the option `--weights-dir`.

    Returns:
        The exit code: 1 if the self-test failed.

    Raises:
        SteelbenchError: if the data folder is not there or has no known layout, before the self-test; if a run would
            refuse it, after all else was printed.
    """
    for word, text in (*_installation(), *_storage(), *_weights(weights_dir)):
        _line(word, text)
    # Said before the self-test, which takes half a minute.
    options = None if data is None else _data_options(data, weights_dir)
    if options is not None:
        recognise(options)
    good = _self_test()
    _line("GPU", gpu_words(_gpus(), gpu_count() > 0, missing_cuda_libraries))
    if options is not None:
        print()
        _look_at_data(options)
    return 0 if good else 1


def _line(word: str, text: str) -> None:
    print(f"{word:<{WIDTH}}{shown(text)}", flush=True)


def _installation() -> Iterator[tuple[str, str]]:
    found = environment()
    yield "steelbench", f"{steelbench.__version__}, Python {found['python']}, {found['system']}"
    for name, version in found["packages"].items():
        yield "", f"{name} {version}"
    yield "processor", f"{found['processor']}, {usable_cores()} cores, {total_memory_gib():.1f} GiB of memory"
    yield "", instructions_words(fast_instructions())
    yield "engines", ", ".join(_engine(name) for name in ENGINES)
    yield "exports", ", ".join(_export(name) for name in FORMATS)


def instructions_words(found: list[str] | None) -> str:
    """Return in words which instructions the processor has; None if the system does not say."""
    if found is None:
        return f"the system does not say which instructions it has ({platform.system()})"
    bfloat16 = {"avx512_bf16", "amx_bf16"} & set(found)
    advice = "; --precision bfloat16 may be twice as fast or more" if bfloat16 else "; float32 is the fastest precision"
    return f"{' '.join(found) or 'none of AVX2, AVX-512, AMX'}{advice}"


def _engine(name: str) -> str:
    row = ENGINES[name]
    return f"{name} {row.version}" if row.installed else f"{name} is not installed (pip install 'steelbench[fast]')"


def _export(name: str) -> str:
    row = FORMATS[name]
    return f"{name} needs pip install 'steelbench[{row.extra}]'" if row.missing else name


def _storage() -> Iterator[tuple[str, str]]:
    cache = cache_folder()
    for word, folder in (("here", Path.cwd()), ("cache", cache)):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e9
        little = f": little, a first comparison takes up to {LEAST_FREE_GB:g} GB" if free < LEAST_FREE_GB else ""
        reason = unwritable(folder)
        yield word, f"{folder}, {free:.1f} GB free{little}{f'; cannot be written to: {reason}' if reason else ''}"
    found = spaces(cache)
    yield "", f"{len(found)} stores of features, {sum(space.size for space in found) / 1e6:.1f} MB"


def _weights(folder: Path | None) -> Iterator[tuple[str, str]]:
    found = [(name, kind, path) for name, kind, file in files(None) if (path := find_file(file, folder)) is not None]
    folders = search_folders(folder)
    for number, (name, kind, path) in enumerate(found):
        place = str(path) if path.parent in folders else "in its package"
        yield "" if number else "weights", f"{name} {kind}: {place}"
    if not found:
        yield "weights", f"none in {', '.join(map(str, folders))}; steelbench weights list says how to get them"


def _self_test() -> bool:
    """Print the steps of the self-test; returns whether all passed."""
    from steelbench.inference.self_test import FailedStepError, self_test

    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, step in enumerate(self_test(Path(folder))):
                _line("" if number else "self-test", f"{step.name}: {step.found}, {step.seconds:.1f} s")
                total += step.seconds
        except FailedStepError as error:
            _line("", f"FAILED: {error}")
            return False
    _line("", f"passed in {total:.1f} s")
    return True


def _gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees; none where it cannot be imported."""
    try:
        start_tensorflow()
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]
    except Exception:
        # The self-test has said what is wrong with it.
        return []


def gpu_words(seen: list[str], present: bool, missing: Callable[[], list[str]]) -> str:
    """Return in words whether networks are computed on a GPU, and what is missing where one lies idle.

    Args:
        seen: names of those that TensorFlow uses.
        present: whether the system has one of NVIDIA.
        missing: returns the names of the libraries that cannot be opened.
    """
    if seen:
        return f"TensorFlow computes on {', '.join(seen)}"
    if not present:
        return "none; networks are computed on the processor"
    absent = missing()
    reason = f"cannot be opened: {', '.join(absent)}" if absent else "the driver is older than TensorFlow's CUDA"
    return f"there is one, and TensorFlow does not see it ({reason}); pip install 'tensorflow[and-cuda]' brings CUDA"


def _data_options(data: str, weights_dir: Path | None) -> RunOptions:
    options = RunOptions(data=data, results=Path("results") / (data_name(data) or "run"))
    return options if weights_dir is None else options.model_copy(update={"weights_dir": weights_dir})


def _look_at_data(options: RunOptions) -> None:
    check_data(options)
    print()
    request = Request(suite=None, backbones=None, methods=None, assignments=[], epochs=None)
    more = f" --weights-dir {shlex.quote(str(options.weights_dir))}" if options.weights_dir else ""
    _line("to type", f"steelbench run --data {shlex.quote(options.data)}{more}")
    foresee(options, make_experiments(request, {}, Suite()), request.auto, {})
