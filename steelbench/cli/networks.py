"""Which of the wanted networks can run, those whose weights can be had, and what runs in place of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelbench.cli.suites import replace_networks
from steelbench.cli.terminal import say
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.models import keras_hub
from steelbench.models.backbones import BACKBONES
from steelbench.models.weight_files import INSTALL_LITE, NotFoundError, resolve, search_folders
from steelbench.notices import notice
from steelbench.progress import Progress
from steelbench.records import Notice

MAIN_BACKBONES = ("vgg19", "efficientnet_b0", "xception", "inception_v3")
# Its ImageNet weights come from the package index.
PACKAGED = "efficientnet_lite0"
# Runs in place of a KerasHub preset that cannot be fetched, where the suite names no other network.
FALLBACK = "resnet50"
NO_WEIGHTS = "its weights are not on this machine and could not be fetched"


def with_weights(experiments: list[Experiment], options: RunOptions, progress: Progress) -> list[Experiment]:
    """Return the experiments whose networks have weights on this machine, or that can be fetched; name the others.

    Args:
        experiments: with the backbones of `auto`.
        options: of the run; with `--weights auto` a network without weights runs untrained, and with `random` or a
            file the backbones are `MAIN_BACKBONES`.
        progress: called while weights are fetched.

    Raises:
        SteelbenchError: if no network has weights, or a file is damaged.
    """
    kind = options.weights
    if kind == "auto":
        return experiments
    if kind not in ("imagenet", "noisy-student"):
        return [experiment for experiment in experiments if experiment.backbone in MAIN_BACKBONES]
    # Before weights are fetched, which may take minutes.
    read_dataset(options)
    names = list(dict.fromkeys(experiment.backbone for experiment in experiments))
    published = [name for name in names if kind == "imagenet" or BACKBONES[name].noisy_student]
    missing = [name for name in published if not _can_be_had(name, options, progress)]
    if missing == published:
        raise SteelbenchError(
            f"no {kind} weights of {', '.join(published)} are on this machine, and none could be fetched. "
            f"{INSTALL_LITE} brings those of {PACKAGED}; `steelbench weights list` names the files and folders of the "
            "others; --weights random leaves the networks untrained."
        )
    if missing:
        say(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} left out: the weights are not on this "
            "machine and could not be fetched; steelbench weights list says how to get them."
        )
    return [experiment for experiment in experiments if experiment.backbone in set(published) - set(missing)]


def _can_be_had(name: str, options: RunOptions, progress: Progress) -> bool:
    try:
        # With `auto` nothing is missing, as random weights take their place.
        kind = "imagenet" if options.weights == "auto" else options.weights
        resolve(name, kind, options.weights_dir, lambda *step: progress("fetch", *step))
    except NotFoundError:
        return False
    return True


def replace_missing(
    experiments: Sequence[Experiment],
    options: RunOptions,
    progress: Progress,
    fallbacks: Mapping[str, str] | None = None,
) -> tuple[list[Experiment], list[Notice]]:
    """Fetch presets of KerasHub and weights of a suite's networks; replace a network that cannot be had, and say so.

    Args:
        experiments: to run.
        options: of the run; with weights other than `imagenet` or `auto` no network but a preset is replaced.
        progress: called while files are fetched.
        fallbacks: of the suite; a preset that it does not name falls back to `FALLBACK`.

    Returns:
        The experiments without those that are named twice after that, and a notice for each network replaced.

    Raises:
        SteelbenchError: if there is no such preset, or a file is damaged.
    """
    fallbacks = fallbacks or {}
    if fallbacks:
        # Before weights are fetched, which may take minutes.
        read_dataset(options)
    parts = dict.fromkeys(part for experiment in experiments for part in experiment.networks)
    reasons = {part: reason for part in parts if (reason := _why_missing(part, options, progress, fallbacks))}
    instead = {part: fallbacks.get(part, FALLBACK) for part in reasons}
    notices = [
        notice(
            "SB307" if part in fallbacks else "SB303",
            name=part, fallback=instead[part], reason=reason, advise=reason == NO_WEIGHTS,
        )
        for part, reason in reasons.items()
    ]  # fmt: skip
    for told in notices:
        say(told.text)
    return replace_networks(experiments, instead), notices


def _why_missing(part: str, options: RunOptions, progress: Progress, fallbacks: Mapping[str, str]) -> str:
    """Return why a network cannot be had though another could run in its place; "" if it can, or none could."""
    if part.startswith(keras_hub.PREFIX):
        return keras_hub.fetch(part, search_folders(options.weights_dir), progress)
    if part not in fallbacks or options.weights not in ("imagenet", "auto"):
        return ""
    if _can_be_had(part, options, progress) or not _can_be_had(fallbacks[part], options, progress):
        return ""
    return NO_WEIGHTS
