"""What a mill does to an image: blur, light, noise, spots, dust, compression, at strengths 1 to 5; 0 changes nothing.

They work on the pixels as the file stores them, before any resizing. Names are ImageNet-C's where the same is meant.
Nothing but the arguments decides the result: what is drawn, is drawn from the image's key.

References:
    Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"
    (ImageNet-C). https://arxiv.org/abs/1903.12261
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from steelbench.arrays import AnyArray, GrayImage, RGBImage
from steelbench.data.transforms import line_kernel

# Raise it when a change of this code gives other pixels: measurements with another version are made anew.
VERSION = 1
STRENGTHS = (1, 2, 3, 4, 5)
_BORDER = cv2.BORDER_REFLECT_101
# Electrons by which the signal of a line camera scatters even in the dark.
READ_NOISE = 4.0


@dataclass(frozen=True)
class Corruption:
    """A row of `CORRUPTIONS`.

    Attributes:
        title: what the report calls it.
        apply: (pixels uint8 [H, W, 3], amount, generator) to pixels uint8 of the same shape.
        amounts: of the strengths 1 to 5.
        unit: of an amount.
        source: where the amounts come from.
        redrawn: whether every strength draws anew; otherwise the spots of a strength are among those of the next.
    """

    title: str
    apply: Callable[[RGBImage, float, np.random.Generator], RGBImage]
    amounts: tuple[float, float, float, float, float]
    unit: str
    source: str
    redrawn: bool = False


def corrupt(name: str, pixels: RGBImage, strength: int, key: str) -> RGBImage:
    """Return an image as a mill may show it.

    Args:
        name: a row of `CORRUPTIONS`.
        pixels: uint8 [H, W, 3], RGB.
        strength: 0, which changes nothing, to 5.
        key: identifies the image, such as its digest; what is drawn is drawn from it.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: for other pixels, or another strength.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"expected pixels uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    if strength not in (0, *STRENGTHS):
        raise ValueError(f"strength {strength} is not one of 0 to {STRENGTHS[-1]}")
    if strength == 0:
        return pixels.copy()
    row = CORRUPTIONS[name]
    seed = f"{name}:{strength if row.redrawn else ''}:{key}"
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()))
    return row.apply(pixels, row.amounts[strength - 1], generator)


def motion_blur(pixels: RGBImage, length: float, rng: np.random.Generator) -> RGBImage:
    """Blur along x, the rolling direction of most cameras' images."""
    return blur_along(pixels, length, 0.0, rng)


def blur_along(pixels: RGBImage, length: float, degrees: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Blur along a straight line, as a strip does that moves while the camera is exposed.

    Args:
        pixels: uint8 [H, W, 3].
        length: of the way during the exposure, pixels; 1 changes nothing.
        degrees: of the rolling direction, counterclockwise from the x axis.
        rng: not used.
    """
    return _rounded(cv2.filter2D(pixels.astype(np.float32), -1, line_kernel(length, degrees), borderType=_BORDER))


def defocus_blur(pixels: RGBImage, radius: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Blur by a disc, the image of a point that is out of focus."""
    return _rounded(cv2.filter2D(pixels.astype(np.float32), -1, disc_kernel(radius), borderType=_BORDER))


def disc_kernel(radius: float) -> GrayImage:
    """Return a square kernel of odd size with a disc of a radius in pixels, its edge softened; its sum is 1."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def uneven_light(pixels: RGBImage, amount: float, rng: np.random.Generator) -> RGBImage:
    """Multiply by a ramp from 1 - amount at one end of the image to 1 + amount at the other, in a drawn direction."""
    height, width = pixels.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (x * np.cos(angle) + y * np.sin(angle)) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return _rounded(pixels * (1 + amount * ramp[..., None]))


def light_drift(pixels: RGBImage, amount: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Take away a share of the light, as aged lamps do; a tenth of it comes back as stray light, evenly."""
    return _rounded((1 - amount) * pixels + 25.5 * amount)


def sensor_noise(pixels: RGBImage, electrons: float, rng: np.random.Generator) -> RGBImage:
    """Count electrons: Poisson noise of the light and Gaussian noise of the electronics.

    The variance of a value v, 0..255, is 255 v / electrons + (255 * READ_NOISE / electrons)^2. Images with three equal
    channels get the same noise in all, as a gray camera makes it.

    Args:
        pixels: uint8 [H, W, 3].
        electrons: that make the value 255.
        rng: draws.
    """
    gray = bool((pixels == pixels[..., :1]).all())
    signal = (pixels[..., :1] if gray else pixels) * (electrons / 255)
    counted = rng.poisson(signal) + rng.normal(0, READ_NOISE, signal.shape)
    return np.broadcast_to(_rounded(counted * (255 / electrons)), pixels.shape).copy()


def water_drops(pixels: RGBImage, count: float, rng: np.random.Generator) -> RGBImage:
    """Lay drops on the image: each magnifies what is below it, has a dark rim and reflects the lamp.

    Args:
        pixels: uint8 [H, W, 3].
        count: drops, of a radius of 3 to 8 % of the shorter side.
        rng: draws.
    """
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    source_x, source_y, light = x.copy(), y.copy(), np.zeros((height, width), np.float32)
    for centre_x, centre_y, radius in _places(int(count), (0.03, 0.08), pixels.shape, rng):
        window = _window(centre_x, centre_y, radius, pixels.shape)
        away_x, away_y = x[window] - centre_x, y[window] - centre_y
        distance = np.hypot(away_x, away_y) / radius
        inside = distance < 1
        zoom = 0.5 + 0.5 * distance**2
        source_x[window] = np.where(inside, centre_x + zoom * away_x, source_x[window])
        source_y[window] = np.where(inside, centre_y + zoom * away_y, source_y[window])
        spot = np.hypot(away_x + 0.35 * radius, away_y + 0.35 * radius) / radius
        own = 90 * np.clip(1 - spot / 0.3, 0, 1) - 40 * np.clip((distance - 0.7) / 0.3, 0, 1)
        light[window] = np.where(inside, own, light[window])
    bent = cv2.remap(pixels.astype(np.float32), source_x, source_y, cv2.INTER_LINEAR, borderMode=_BORDER)
    return _rounded(bent + light[..., None])


def oil_spots(pixels: RGBImage, count: float, rng: np.random.Generator) -> RGBImage:
    """Lay dark ellipses with soft edges on the image; they swallow 60 % of the light.

    Args:
        pixels: uint8 [H, W, 3].
        count: spots, of a radius of 4 to 12 % of the shorter side.
        rng: draws.
    """
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    clear = np.ones((height, width), np.float32)
    for centre_x, centre_y, radius in _places(int(count), (0.04, 0.12), pixels.shape, rng):
        aspect, angle = rng.uniform(0.5, 1), rng.uniform(0, np.pi)
        window = _window(centre_x, centre_y, radius, pixels.shape)
        away_x, away_y = x[window] - centre_x, y[window] - centre_y
        along = away_x * np.cos(angle) + away_y * np.sin(angle)
        across = away_y * np.cos(angle) - away_x * np.sin(angle)
        cover = np.clip((1 - np.hypot(along, across / aspect) / radius) / 0.3, 0, 1)
        clear[window] = np.minimum(clear[window], 1 - 0.6 * cover)
    return _rounded(pixels * clear[..., None])


def scale_dust(pixels: RGBImage, density: float, rng: np.random.Generator) -> RGBImage:
    """Strew specks of scale, half of them brighter than what is below them and half darker, by 60 to 120.

    Args:
        pixels: uint8 [H, W, 3].
        density: specks on 10,000 pixels; each has a radius of 0 to 2 pixels.
        rng: draws.
    """
    height, width = pixels.shape[:2]
    count = max(1, round(density * height * width / 10_000))
    # A row for each speck, so that the first ones are the same at every strength.
    drawn = rng.random((count, 4))
    dust = np.zeros((height, width), np.float32)
    for across, down, size, change in drawn:
        amount = (60 + 120 * abs(change - 0.5)) * (1 if change < 0.5 else -1)
        cv2.circle(dust, (int(across * width), int(down * height)), int(3 * size), amount, thickness=-1)
    return _rounded(pixels + dust[..., None])


def jpeg_compression(pixels: RGBImage, quality: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Write and read as JPEG of a quality, 1 to 100."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    written = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8)


def low_resolution(pixels: RGBImage, share: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Shrink the sides to a share by averaging, and enlarge them again between the pixels' centres."""
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels.astype(np.float32),
        (max(1, round(share * width)), max(1, round(share * height))),
        interpolation=cv2.INTER_AREA,
    )
    return _rounded(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def shift(pixels: RGBImage, share: float, rng: np.random.Generator) -> RGBImage:  # noqa: ARG001
    """Move the image to the right and down by a share of its shorter side; the edge is mirrored."""
    step = round(share * min(pixels.shape[:2]))
    # NumPy mirrors an image of one pixel, too.
    padded = np.pad(pixels, ((step, 0), (step, 0), (0, 0)), mode="reflect")
    return np.ascontiguousarray(padded[: pixels.shape[0], : pixels.shape[1]])


# In the order of the light's way: the strip and what lies on it, lamp, lens, sensor, the file.
CORRUPTIONS: dict[str, Corruption] = {
    "water_drops": Corruption(
        "water drops", water_drops, (2, 4, 8, 14, 22), "drops", "own: they cover 1.8, 3.8, 7.3, 12 and 19 % of an image"
    ),
    "oil_spots": Corruption(
        "oil spots", oil_spots, (1, 2, 4, 7, 11), "spots", "own: they cover 1.5, 3.2, 6.3, 11 and 16 % of an image"
    ),
    "scale_dust": Corruption(
        "scale dust", scale_dust, (2, 5, 10, 20, 40), "specks on 10,000 pixels",
        "own: they cover 0.1, 0.3, 0.6, 1.3 and 2.5 % of an image of 200 pixels",
    ),
    "uneven_light": Corruption(
        "uneven light", uneven_light, (0.1, 0.2, 0.3, 0.45, 0.6), "share of the light more and less", "own"
    ),
    "light_drift": Corruption(
        "drifting light", light_drift, (0.1, 0.2, 0.3, 0.45, 0.6), "share of the light lost",
        "own: 0.3 is lost at the end of an LED's rated life, L70",
    ),
    "motion_blur": Corruption(
        "motion blur", motion_blur, (2, 3, 5, 8, 12), "pixels",
        "way of a strip of 20 m/s at 1 mm a pixel in 100, 150, 250, 400 and 600 us; 50 us are one pixel, which "
        "cannot be seen",
    ),
    "defocus_blur": Corruption(
        "defocus", defocus_blur, (1, 2, 3, 4, 6), "pixels, radius",
        "3, 4 and 6 are ImageNet-C's strengths 1 to 3; 1 and 2 own",
    ),
    "shift": Corruption(
        "shift", shift, (0.02, 0.05, 0.1, 0.15, 0.25), "share of the shorter side", "own: a trigger that is late"
    ),
    "sensor_noise": Corruption(
        "sensor noise", sensor_noise, (2500, 1000, 400, 160, 60), "electrons at white",
        "own: from a line camera with much light to ImageNet-C's weakest shot noise, which has 60", redrawn=True,
    ),
    "low_resolution": Corruption(
        "lower resolution", low_resolution, (0.6, 0.5, 0.4, 0.3, 0.25), "share of the side",
        "ImageNet-C's pixelate, but enlarged without edges, as a coarser camera gives it",
    ),
    "jpeg_compression": Corruption(
        "JPEG", jpeg_compression, (60, 40, 25, 15, 10), "quality", "25, 15 and 10 are ImageNet-C's 1, 3 and 4"
    ),
}  # fmt: skip


def _rounded(values: AnyArray) -> RGBImage:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _places(
    count: int, radii: tuple[float, float], shape: tuple[int, ...], rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Draw centre (x, y) and radius of each spot, pixels; the first ones are the same for every count."""
    height, width = shape[:2]
    drawn = np.random.default_rng(rng.integers(2**63)).random((count, 3))
    low, high = radii
    return [
        (across * width, down * height, max(1.0, (low + (high - low) * size) * min(height, width)))
        for across, down, size in drawn
    ]


def _window(x: float, y: float, radius: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of an image that a circle touches."""
    left, top = (max(0, int(middle - radius)) for middle in (x, y))
    return slice(top, min(shape[0], int(y + radius) + 2)), slice(left, min(shape[1], int(x + radius) + 2))
