"""From experiments to jobs: images and splits as one record, and the runs that share an encoder as one job."""

from __future__ import annotations

from collections.abc import Sequence

from steelbench.data.split_plan import SplitPlan
from steelbench.experiment import Experiment
from steelbench.features.spec import ImageRef, Part
from steelbench.files import cache_folder
from steelbench.runs.fingerprint import fingerprint, identity, sizes_of
from steelbench.runs.jobs import Job, RunData, SplitRef, Task, Unlabelled
from steelbench.runs.preparation import RunInputs


def make_data(inputs: RunInputs, plan: SplitPlan, unlabelled: Unlabelled | None = None) -> RunData:
    """Return images and splits as the record that jobs and baselines share.

    Args:
        inputs: of the command.
        plan: groups and splits.
        unlabelled: images for pseudo-labels, if there are any.
    """
    inspection, options = inputs.inspection, inputs.options
    rows = zip(inspection.images, inspection.labels.tolist(), plan.group_of.tolist(), strict=True)
    # Where brightness is homogenised, features belong to one split; a naive split would need features of its own.
    naive = plan.naive if options.homogenize == "none" else None
    return RunData(
        root=str(inputs.dataset.root),
        bit_depth=options.bit_depth,
        classes=list(inspection.classes),
        images=[
            ImageRef(
                path=image.sample.path,
                label=label,
                digest=image.bytes_digest,
                group=group,
                pixels_digest=image.pixels_digest,
            )
            for image, label, group in rows
        ],
        splits=[SplitRef.of(split, seed, fold) for (seed, fold), split in plan.splits.items()],
        naive=SplitRef.of(naive, 0, 0) if naive else None,
        unlabelled=unlabelled,
    )


def make_jobs(
    experiments: Sequence[Experiment], inputs: RunInputs, data: RunData, unknown: Sequence[Experiment] = ()
) -> list[Job]:
    """Return one job for each backbone and image size; one for each split, too, where brightness is homogenised.

    Args:
        experiments: that are to do, in order.
        inputs: of the command.
        data: of `make_data`.
        unknown: that are tested with unknown defects, done or to do.
    """
    options, train, leave_out = inputs.options, set(experiments), set(unknown)
    together: dict[tuple[object, ...], list[Experiment]] = {}
    for experiment in dict.fromkeys([*experiments, *unknown]):
        # The training images' mean brightness differs between splits, and with it all features.
        split = (experiment.seed, experiment.fold) if options.homogenize != "none" else None
        sizes = tuple(sizes_of(experiment, options).values())
        together.setdefault((experiment.networks, sizes, split), []).append(experiment)
    return [
        Job(
            results=str(options.results.resolve()),
            cache=str(cache_folder().resolve()),
            parts=_parts(same[0], inputs),
            engine=options.engine,
            precision=options.precision,
            verify=options.verify,
            track=options.track == "tensorboard",
            tasks=[_task(experiment, inputs) for experiment in same if experiment in train],
            unknown=[_task(experiment, inputs) for experiment in same if experiment in leave_out],
            homogenize=options.homogenize,
            data=data,
        )
        for same in together.values()
    ]


def _parts(experiment: Experiment, inputs: RunInputs) -> list[Part]:
    return [
        Part(backbone=name, image_size=size, origin=vars(inputs.origins[name]))
        for name, size in sizes_of(experiment, inputs.options).items()
    ]


def _task(experiment: Experiment, inputs: RunInputs) -> Task:
    parts = identity(experiment, inputs.options, inputs.origins, inputs.config)
    return Task(
        key=experiment.key,
        settings=parts["settings"],
        fingerprint=fingerprint(parts),
        offered=experiment.seed == 0 and experiment.fold == 0,
        augment=parts["augment"],
    )
