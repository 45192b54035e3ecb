"""The experiments that a command asks for, from names or a suite file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelbench.cli.networks import MAIN_BACKBONES, PACKAGED
from steelbench.cli.suites import Suite, experiments_of
from steelbench.errors import SteelbenchError, choose
from steelbench.experiment import METHODS, Experiment, networks_of, parse_assignments, with_fields
from steelbench.models.backbones import BACKBONES, check_networks

# The word for the main backbones whose weights can be had.
AUTO = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The options that decide which experiments run, as typed, not yet checked.

    Attributes:
        suite: a suite file; None for all pairs of `backbones` and `methods`.
        backbones: names, separated by commas; None or `auto` for the suite's, or the main ones.
        methods: names, separated by commas; None for the suite's, or softmax.
        assignments: `METHOD.FIELD=VALUE` texts.
        epochs: for every method that has epochs; None for each method's own.
        silence: codes of notices that are left out of the report.
    """

    suite: Path | None
    backbones: str | None
    methods: str | None
    assignments: Sequence[str]
    epochs: int | None
    silence: tuple[str, ...] = ()

    @property
    def auto(self) -> bool:
        """Return whether the backbones are those whose weights can be had."""
        return self.suite is None and not self.named_backbones

    @property
    def named_backbones(self) -> str | None:
        """Return the names of the backbones; None for those of the suite, or the usual ones."""
        return None if (self.backbones or "").strip() == AUTO else self.backbones


def _names(text: str, kind: str, choices: Any, check: Callable[[str], Any]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SteelbenchError(f"--{kind}s is empty; name at least one of {', '.join(choices)}.")
    for name in names:
        check(name)
    return list(dict.fromkeys(names))


def _backbone(name: str) -> None:
    check_networks(networks_of(name))


def _method(name: str) -> str:
    return choose("method", name, METHODS)


def make_experiments(request: Request, preset: Mapping[str, Any], suite: Suite) -> list[Experiment]:
    """Return the experiments that a command asks for, each for seed 0 and fold 0.

    Without names and without a suite these are too many: `with_weights` says which of them can run.

    Args:
        request: the options as typed.
        preset: option -> value, for options that were not given.
        suite: to choose from; `--backbones` also takes the networks that it falls back to.

    Raises:
        SteelbenchError: for unknown names, or if nothing is left to run.
    """
    named = request.named_backbones
    backbones = _names(named, "backbone", BACKBONES, _backbone) if named is not None else None
    methods = _names(request.methods, "method", METHODS, _method) if request.methods is not None else None
    if not suite.experiments:
        experiments = [
            Experiment(backbone=backbone, method=METHODS[method].settings())
            for backbone in backbones or (*MAIN_BACKBONES, PACKAGED)
            for method in methods or ["softmax"]
        ]
    else:
        experiments = [
            experiment
            for experiment in experiments_of(suite, backbones)
            if not methods or experiment.method_name in methods
        ]
        if not experiments:
            raise SteelbenchError("--backbones and --methods leave nothing of the suite; name some that it has.")
    fields = parse_assignments(request.assignments, [experiment.method_name for experiment in experiments])
    epochs = request.epochs if request.epochs is not None else preset.get("epochs")
    for experiment in experiments:
        check_networks(experiment.networks)
    return [
        dataclasses.replace(
            experiment, method=with_fields(experiment.method, fields.get(experiment.method_name, {}), epochs)
        )
        for experiment in experiments
    ]
