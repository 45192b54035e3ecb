"""Suites: files of experiments, the preset for the demo data, and the networks that run where others cannot."""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelbench.errors import SteelbenchError
from steelbench.experiment import METHODS, Experiment
from steelbench.models.backbones import check_networks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """What a suite file defines; empty without one.

    Attributes:
        experiments: the list EXPERIMENTS.
        demo: the dict DEMO, option -> value for options that are not given with the demo data.
        fallbacks: the dict FALLBACKS, network -> the one that runs where the weights of the first cannot be had.
    """

    experiments: Sequence[Experiment] = ()
    demo: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fallbacks: Mapping[str, str] = dataclasses.field(default_factory=dict)


def load_suite(path: Path) -> Suite:
    """Return what a suite file defines.

    Raises:
        SteelbenchError: if the file is missing, fails, has no EXPERIMENTS, or a dict of another kind.
    """
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise SteelbenchError(f"--suite {path} {reason}; name a Python file with a list EXPERIMENTS.")
    try:
        names = runpy.run_path(str(path), run_name="steelbench_suite")
    except SteelbenchError as error:
        raise SteelbenchError(f"--suite {path}: {error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise SteelbenchError(f"--suite {path} fails with {type(error).__name__}: {error}; mend the file.") from None
    experiments, preset, fallbacks = names.get("EXPERIMENTS"), names.get("DEMO", {}), names.get("FALLBACKS", {})
    if not isinstance(experiments, list) or not experiments or not all(map(_is_experiment, experiments)):
        raise SteelbenchError(
            f"--suite {path} defines no EXPERIMENTS; expected a list of steelbench.experiment.Experiment, one at "
            "least, each with a method's settings, such as Softmax()."
        )
    for experiment in experiments:
        _refuse_fields(path, experiment)
    if not isinstance(preset, dict):
        raise SteelbenchError(f"--suite {path}: DEMO is {preset!r}; expected a dict of options for --data demo.")
    if not isinstance(fallbacks, dict) or not all(isinstance(name, str) for name in (*fallbacks, *fallbacks.values())):
        raise SteelbenchError(f"--suite {path}: FALLBACKS is {fallbacks!r}; expected a dict of names of networks.")
    check_networks(tuple(fallbacks.values()))
    return Suite(experiments=experiments, demo=preset, fallbacks=fallbacks)


def _is_experiment(item: Any) -> bool:
    return isinstance(item, Experiment) and any(type(item.method) is row.settings for row in METHODS.values())


def _refuse_fields(path: Path, experiment: Experiment) -> None:
    """Refuse values of another kind than an experiment has; a dataclass takes any."""
    whole, name = "a whole number, 0 or more", "a name"
    for field, wanted in {"backbone": name, "variant": name, "image_size": whole, "seed": whole, "fold": whole}.items():
        value = getattr(experiment, field)
        # A truth value is an int, too, and no number.
        good = isinstance(value, str) if wanted == name else type(value) is int and value >= 0
        if not good and not (field == "image_size" and value is None):
            raise SteelbenchError(f"--suite {path}: an experiment's {field} is {value!r}; expected {wanted}.")


def experiments_of(suite: Suite, backbones: Sequence[str] | None) -> list[Experiment]:
    """Return the experiments of these backbones, as the suite has them or after its fallbacks; None for all."""
    if backbones is None:
        return list(suite.experiments)
    own = [experiment for experiment in suite.experiments if experiment.backbone in backbones]
    replaced = replace_networks(suite.experiments, suite.fallbacks)
    return own + [experiment for experiment in replaced if experiment.backbone in backbones and experiment not in own]


def replace_networks(experiments: Sequence[Experiment], instead: Mapping[str, str]) -> list[Experiment]:
    """Return experiments with other networks for some, without those that are named twice after that.

    Args:
        experiments: an ensemble becomes a single network where its parts become one.
        instead: network -> the one in its place.
    """
    taken, chosen = {experiment.name for experiment in experiments}, []
    for experiment in experiments:
        named = dict.fromkeys(instead.get(part, part) for part in experiment.networks)
        replaced = dataclasses.replace(experiment, backbone="+".join(named))
        if replaced == experiment or replaced.name not in taken:
            chosen.append(replaced)
        taken.add(replaced.name)
    return chosen
