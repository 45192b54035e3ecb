"""The jobs of a run on a Ray cluster: `run_jobs` of the local scheduler, with the same results. No TensorFlow.

This process alone reads images and writes the cache and the results folder; what tasks need and make travels through
Ray's object store. Ray starts tasks, and starts them again where a process or a node died.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from steelbench.data.images import UnreadableImageError
from steelbench.errors import SteelbenchError
from steelbench.features.spec import Part
from steelbench.methods import METHODS, views_of
from steelbench.ray_session import connected
from steelbench.records import Notice, RunKey
from steelbench.runs.jobs import Event, Job, Task
from steelbench.runs.ray_runner.cluster import Needs, Tasks, task_environment
from steelbench.runs.ray_runner.extraction import Extraction
from steelbench.runs.ray_runner.functions import Functions
from steelbench.runs.ray_runner.orders import Failure, JobOrder, Outcome
from steelbench.runs.ray_runner.parcels import RESULTS, Parcel, bring_home, pack_files, stored_features
from steelbench.runs.ray_runner.site import Site
from steelbench.runs.ray_runner.tasks import get_ready

USUAL = Functions()
# To wait before a store that another command holds is looked at again.
SECONDS = 1
# Of a local Ray. It would end processes that wait for their turn, with their networks, and start some that no task here
# may use, as tasks name theirs.
SETTINGS = {"idle_worker_killing_time_threshold_ms": "3600000", "prestart_worker_first_driver": "0"}
RunJobs = Callable[[Sequence[Job], Path, Callable[[Job, Event], None]], dict[RunKey, str]]


@contextmanager
def ray_runner(jobs: Sequence[Job], address: str | None, tell: Callable[[str], None]) -> Iterator[RunJobs]:
    """Connect to Ray, and yield what runs the jobs there; processes of the nodes get ready in the meantime.

    Args:
        jobs: that will be run; without any nothing is started.
        address: of a running cluster; None starts a local Ray, which ends with the context.
        tell: called with the address of Ray's dashboard.

    Raises:
        SteelbenchError: if no cluster answers, or none of its nodes has a CPU.
    """
    if not jobs:
        yield lambda _jobs, _results, _hear: {}
        return
    with connected(address, task_environment(local=address is None), tell, SETTINGS):
        import ray

        cluster = Tasks(Needs.of(ray.nodes()))
        networks = dict.fromkeys(part.backbone for job in jobs for part in job.parts)
        cluster.get_ready(
            get_ready, [_processes(number, cluster.needs) for number in range(_at_once(networks, cluster.needs))]
        )
        yield partial(run_jobs_on_ray, cluster=cluster)


def run_jobs_on_ray(
    jobs: Sequence[Job],
    results: Path,
    on_event: Callable[[Job, Event], None],
    *,
    cluster: Tasks,
    functions: Functions = USUAL,
) -> dict[RunKey, str]:
    """Run all jobs as tasks of Ray.

    Args:
        jobs: of one run: they share their data.
        results: the results folder.
        on_event: called with every event; progress is that of all tasks together.
        cluster: that is connected.
        functions: that nodes run.

    Returns:
        The reason of every run that failed.
    """
    return Driver(jobs, results, on_event, cluster, functions).run()


class Driver:
    """Starts the tasks of some jobs and hears their answers.

    Args:
        jobs: as `run_jobs_on_ray`.
        results: the results folder.
        on_event: called with every event.
        tasks: of the cluster.
        functions: that nodes run.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        results: Path,
        on_event: Callable[[Job, Event], None],
        tasks: Tasks,
        functions: Functions = USUAL,
    ) -> None:
        self.jobs, self.results, self.on_event, self.tasks, self.functions = jobs, results, on_event, tasks, functions
        self.site = Site(jobs[0].data, tasks)
        self.failures: dict[RunKey, str] = {}
        self.told: list[Notice] = []
        self.extractions: dict[str, Extraction] = {}
        self.needed: list[tuple[Job, list[Extraction]]] = []
        # Tasks that train heads or end to end; done and all.
        self.trained, self.to_train = 0, 0
        for job in [piece for own in jobs for piece in _pieces(own)]:
            self.to_train += max(1, len(job.tasks))
            self.needed.append((job, [self._extraction(job, part) for part in job.parts if not _whole(job)]))

    def _extraction(self, job: Job, part: Part) -> Extraction:
        """Return the extraction of a network, the same for every job that has it."""
        key = part.model_dump_json()
        if key not in self.extractions:
            self.extractions[key] = Extraction(
                job,
                part,
                self.site,
                self.functions,
                _processes(len(self.extractions), self.tasks.needs),
                lambda notice: self._tell(job, notice),
            )
        return self.extractions[key]

    def run(self) -> dict[RunKey, str]:
        """Run all tasks to their end, and return the reason of every run that failed."""
        try:
            taken = self._fill()
            while self.tasks.waiting or taken:
                self._show()
                self.tasks.hear_next(SECONDS if taken else None)
                taken = self._fill()
            self._show()
        except BaseException:
            # Ctrl-C, or a fault of this program.
            self.tasks.cancel()
            raise
        finally:
            for extraction in self.extractions.values():
                extraction.close()
        return self.failures

    def _fill(self) -> bool:
        """Start what there is room for, and return whether another command holds what is wanted next.

        Shards go in the order of the networks; beside them heads train and the next network is loaded. Training on
        images needs whole nodes, for which shards would have to wait, so it begins when all of those are done.
        """
        needs, found = self.tasks.needs, list(self.extractions.values())
        described = [own for own in found if own.described is not None and not (own.opened or own.finished)]
        taken = [own for own in described if not own.open()]
        while sum(own.under_way for own in found if not own.finished) < 2 * needs.slots:
            ready = next((own for own in found if own.todo), None)
            if ready is None:
                break
            ready.next_shard()
        self._train(found)
        for own in [own for own in found if not own.begun]:
            if sum(other.lined_up for other in found) < needs.slots + needs.ahead:
                own.begin()
        # What could not begin has failed.
        self._train(found)
        return bool(taken)

    def _train(self, found: Sequence[Extraction]) -> None:
        """Start the jobs whose features are there."""
        extracted = all(own.finished for own in found)
        for job, extractions in list(self.needed):
            if extracted or (extractions and all(own.finished for own in extractions)):
                self.needed = [item for item in self.needed if item[0] is not job]
                self._start(job, extractions)

    def _start(self, job: Job, extractions: Sequence[Extraction]) -> None:
        """Start the task of a job whose features are there."""
        reason = next((own.failure for own in extractions if own.failure), "")
        supplies: list[Any] = []
        if not reason:
            try:
                supplies = self._supplies(job, extractions)
            except (UnreadableImageError, OSError) as error:
                reason = str(error)
        running = {task.key.run_name: task.key for task in job.tasks}
        if reason:
            self._fail(job, running, reason)
            return
        engines = {own.described.engine for own in extractions if own.described}
        if len(engines) == 1:
            # The engine that computed them; a node with a GPU would otherwise look for other features.
            job = job.model_copy(update={"engine": engines.pop()})
        self.tasks.start(
            self.functions.run,
            lambda outcome: self._hear(job, running, outcome),
            JobOrder.of(job, extractions[0].order.key if len(extractions) == 1 else "", brings_features=_whole(job)),
            self.site.data,
            *supplies,
            share="node" if _whole(job) else "core",
            processes=extractions[0].processes if extractions else _processes(0, self.tasks.needs),
        )
        for own in extractions:
            if not any(own in others for _, others in self.needed):
                own.release()

    def _supplies(self, job: Job, extractions: Sequence[Extraction]) -> list[Any]:
        """Return references to the files and features that a job needs."""
        found = [*self.site.weights(job.parts), *(own.stored() for own in extractions)]
        if not _whole(job):
            # To make the encoder, and to verify the saved model.
            tested = {row for task in job.tasks if task.offered for row in job.data.split_of(task.key).test.tolist()}
            found += [self.site.starter_images, *self.site.images(sorted(tested))]
        else:
            found += self.site.images(range(len(job.data.images)))
            found += [self.tasks.put(own) for own in self._cached(job)]
        found.append(self.tasks.put(self._measured_rows(job)))
        return found

    def _cached(self, job: Job) -> Iterable[Any]:
        """Return the features of a job that extracts by itself, as far as the cache has them."""
        if all(_on_images(task) for task in job.tasks) and not job.unknown:
            return
        digests = [image.digest for image in job.data.images]
        for part in job.parts:
            wanted = {"image_size": part.image_size, "precision": job.precision}
            yield from stored_features(Path(job.cache), part.backbone, wanted, digests)

    def _measured_rows(self, job: Job) -> Parcel:
        """Return the files of finished runs whose rows the job tests with unknown defects."""
        own = {task.key.run_name for task in job.tasks}
        names = [
            f"runs/{task.key.run_name}/{file}"
            for task in job.unknown
            if task.key.run_name not in own
            for file in ("result.json", "head.npz")
        ]
        paths = {f"{RESULTS}/{name}": self.results / name for name in names}
        return pack_files({name: path for name, path in paths.items() if path.is_file()})

    def _hear(self, job: Job, running: dict[str, RunKey], outcome: Outcome | Failure) -> None:
        if isinstance(outcome, Failure):
            self._fail(job, running, outcome.reason)
            return
        try:
            bring_home(outcome.files, self.results)
        except SteelbenchError as error:
            self._fail(job, running, str(error))
            return
        for found in outcome.features:
            found.keep(Path(job.cache))
        for event in outcome.events:
            self._pass_on(job, running, event)

    def _pass_on(self, job: Job, running: dict[str, RunKey], event: Event) -> None:
        if event.notice is not None:
            self._tell(job, event.notice)
        if event.kind not in ("done", "failed"):
            return
        key = running.pop(event.run, None)
        if key is None:
            return
        self.trained += 1
        if event.kind == "failed":
            self.failures[key] = event.text
        self.on_event(job, event)

    def _tell(self, job: Job, notice: Notice) -> None:
        """Pass a notice on, once."""
        if notice not in self.told:
            self.told.append(notice)
            self.on_event(job, Event(kind="notice", notice=notice))

    def _fail(self, job: Job, running: dict[str, RunKey], reason: str) -> None:
        for name in list(running):
            self._pass_on(job, running, Event(kind="failed", run=name, text=reason))

    def _show(self) -> None:
        """Tell how many of all tasks are done."""
        found = self.extractions.values()
        done = self.trained + sum(own.shards if own.finished else own.done for own in found)
        total = self.to_train + sum(own.shards for own in found)
        self.on_event(self.jobs[0], Event(kind="progress", step="tasks", done=min(done, total), total=total))


def _at_once(networks: Collection[str], needs: Needs) -> int:
    """Return how many networks are under way at once, at most."""
    return min(len(networks), needs.slots + needs.ahead)


def _processes(number: int, needs: Needs) -> str:
    """Return the name of the processes for a network by its place in the order.

    One name more than there are networks under way: the heads of a network are started before another gets its name.
    """
    return str(number % (needs.slots + needs.ahead + 1))


def _pieces(job: Job) -> list[Job]:
    """Return a job as pieces that nodes run: heads on frozen features together, each training on images by itself."""
    on_images = [task for task in job.tasks if _on_images(task)]
    on_features = [task for task in job.tasks if not _on_images(task)]
    pieces = []
    if on_features or job.unknown:
        pieces.append(job.model_copy(update={"tasks": on_features, "beside": on_images}))
    for task in on_images:
        others = [own for own in job.tasks if own is not task]
        pieces.append(job.model_copy(update={"tasks": [task], "unknown": [], "beside": others}))
    return pieces


def _on_images(task: Task) -> bool:
    return METHODS[task.key.method].settings(**task.settings).on_images


def _whole(job: Job) -> bool:
    """Return whether a node needs all images: to train on them, or for features that belong to a split or to views."""
    tasks = [*job.tasks, *job.unknown]
    return (
        job.homogenize != "none"
        or any(_on_images(task) for task in job.tasks)
        or any(views_of(METHODS[task.key.method].settings(**task.settings)) > 1 for task in tasks)
    )
