"""A small encoder in the place of a network, and actors in this process in the place of Ray's."""

from contextlib import contextmanager

from steelbench.inference.archives import extraction
from steelbench.inference.archives.shards import SentFiles


class StoppedError(Exception):
    """The command is stopped after some parts."""


def play_ray(monkeypatch, *, stop_after=None):
    """Let the actors of `steelbench extract` work in this process.

    Args:
        monkeypatch: of pytest.
        stop_after: parts that are computed before the command is stopped; None for all.

    Returns:
        The numbers of the parts that were computed, filled while they are.
    """
    numbers = []

    @contextmanager
    def connected(address, environment, tell):
        yield

    def worked(worker, arguments, shards, *, ordered, on_gpus):
        actor = worker(**arguments)
        # Not in their order: nothing may depend on it.
        for number, items in reversed(shards.items()):
            if len(numbers) == stop_after:
                raise StoppedError
            numbers.append(number)
            yield number, actor.work(list(items))

    def sent(paths):
        return SentFiles({path.name: path for path in paths})

    @contextmanager
    def unpacked(files):
        yield next(iter(files.contents.values())).parent if files.contents else None

    monkeypatch.setattr(extraction, "connected", connected)
    monkeypatch.setattr(extraction, "worked", worked)
    monkeypatch.setattr(extraction, "has_gpus", lambda: False)
    monkeypatch.setattr(SentFiles, "of", sent)
    monkeypatch.setattr(SentFiles, "unpacked", unpacked)
    return numbers


def play(monkeypatch, *, part=8, stop_after=None):
    """Let `steelbench extract` embed with a small encoder, in this process.

    Args:
        monkeypatch: of pytest.
        part: images of a part file.
        stop_after: as in `play_ray`.

    Returns:
        As `play_ray`.
    """
    monkeypatch.setattr(extraction, "LEAST", part)
    monkeypatch.setattr(extraction, "MOST", part)

    def encoder_with_weights(name, origin, *, image_size, calibration):
        from image_sets import small_encoder

        from steelbench.models.pretrained import calibrate

        encoder = small_encoder()
        if calibration is not None:
            calibrate(encoder, calibration)
        return encoder

    monkeypatch.setattr("steelbench.models.pretrained.encoder_with_weights", encoder_with_weights)
    return play_ray(monkeypatch, stop_after=stop_after)
