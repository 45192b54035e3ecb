"""`steelbench extract`: embed an archive of images into Parquet files, and say how many and how fast."""

from __future__ import annotations

from pathlib import Path

from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.terminal import result, say
from steelbench.experiment import RunOptions


def extract_folder(options: RunOptions, backbone: str, out: Path, ray_address: str | None) -> int:
    """Embed the images below a folder or a URL, and print a line about it.

    An image that cannot be read is a row with a reason, and no mistake of the command.

    Args:
        options: data, weights, image size, engine, precision, bit depth; as those of a run.
        backbone: its name.
        out: local folder for the parts.
        ray_address: of a cluster; None starts a local Ray.

    Returns:
        The exit code, 0.
    """
    from steelbench.inference.archives.extraction import Extraction, extract_archive

    asked = Extraction(
        data=options.data,
        backbone=backbone,
        out=out,
        weights=options.weights,
        weights_dir=options.weights_dir,
        image_size=options.image_size,
        engine=options.engine,
        precision=options.precision,
        bit_depth=options.bit_depth,
        address=ray_address,
    )
    with ProgressDisplay() as terminal:
        found = extract_archive(asked, terminal, say)
    rate = f", {found.new / found.seconds:.1f} images/s" if found.new else ""
    print(
        f"{found.images} images, {found.unreadable} unreadable; {found.new} of them now in {found.seconds:.1f} "
        f"seconds{rate}: {result(str(out))}"
    )
    return 0
