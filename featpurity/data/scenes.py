"""The built-in generated world: one object on a background, drawn from six known attributes.

A picture is a row of six class indices (named in `ATTRIBUTES`). So every attribute is a zero-shot
data set with certain labels, and captions can be made right or wrong on purpose. Object and
background never share a colour.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from featpurity.captions.synthetic import ATTRIBUTES
from featpurity.files import digest

# How the words of `ATTRIBUTES` look: red, green and blue; a share of the side; a direction.
COLOURS = {
    "red": (222, 32, 38),
    "orange": (255, 136, 0),
    "yellow": (255, 228, 40),
    "green": (30, 140, 50),
    "blue": (28, 60, 220),
    "cyan": (70, 220, 235),
    "purple": (118, 35, 160),
    "pink": (255, 140, 200),
    "brown": (120, 70, 28),
    "black": (22, 22, 22),
    "grey": (140, 142, 145),
    "white": (250, 250, 250),
}
DIAMETERS = {"small": 19 / 64, "medium": 27 / 64, "large": 37 / 64}  # share of the picture's side
PLACES = {
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
    "centre": (0, 0),
}
OFFSET = 10 / 64  # distance of corner objects from the centre, at which the largest still fit
OVERSAMPLING = 3
RENDERER = "scenes-1"  # change it whenever a picture changes: it is part of every key


def _round(x=0.0, y=0.0, rx=1.0, ry=None, start=0, stop=360):
    """An ellipse, or a sector of one, as a polygon in the square [-1, 1]^2 (y points down)."""
    angles = np.radians(np.linspace(start, stop, 49))
    return [(x + rx * np.cos(a), y + (ry or rx) * np.sin(a)) for a in angles]


def _box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _star():
    angles = np.radians(np.arange(10) * 36 - 90)
    return [(r * np.cos(a), r * np.sin(a)) for a, r in zip(angles, [1, 0.42] * 5)]


def _heart():
    t = np.linspace(0, 2 * np.pi, 60)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return list(zip(np.sin(t) ** 3, -(y + 2.5) / 14.5))


@cache
def shapes() -> dict[str, tuple[list, list]]:
    """The sixteen shapes: name -> (polygons to fill, polygons to cut out)."""
    return {
        "circle": ([_round()], []),
        "ring": ([_round()], [_round(rx=0.5)]),
        "square": ([_box(-0.85, -0.85, 0.85, 0.85)], []),
        "house": (
            [_box(-0.7, -0.2, 0.7, 1), [(-1, -0.1), (0, -1), (1, -0.1)], _box(0.4, -1, 0.7, -0.3)],
            [_box(-0.22, 0.3, 0.22, 1.1)],
        ),
        "triangle": ([[(0, -0.95), (1, 0.85), (-1, 0.85)]], []),
        "tree": (
            [
                [(0, -1), (0.6, -0.25), (-0.6, -0.25)],
                [(0, -0.6), (0.95, 0.5), (-0.95, 0.5)],
                _box(-0.2, 0.5, 0.2, 1),
            ],
            [],
        ),
        "diamond": ([[(0, -1), (0.62, 0), (0, 1), (-0.62, 0)]], []),
        "hourglass": ([[(-0.8, -1), (0.8, -1), (0, 0.15)], [(-0.8, 1), (0.8, 1), (0, -0.15)]], []),
        "star": ([_star()], []),
        "cross": ([_box(-0.3, -1, 0.3, 1), _box(-1, -0.3, 1, 0.3)], []),
        "heart": ([_heart()], []),
        "moon": ([_round()], [_round(x=0.5, y=-0.1, rx=0.85)]),
        "arrow": ([_box(-1, -0.3, 0.1, 0.3), [(0.05, -0.9), (1, 0), (0.05, 0.9)]], []),
        "fish": (
            [_round(x=0.25, rx=0.75, ry=0.55), [(-0.1, 0), (-1, -0.75), (-1, 0.75)]],
            [_round(x=0.6, y=-0.15, rx=0.13)],
        ),
        "bolt": (
            [[(0.25, -1), (-0.7, 0.2), (-0.05, 0.2), (-0.3, 1), (0.7, -0.3), (0.05, -0.3)]],
            [],
        ),
        "mushroom": (
            [_round(y=0.1, rx=1, ry=1.05, start=180, stop=360), _box(-0.32, 0, 0.32, 1)],
            [],
        ),
    }


def sample(n: int, seed: int) -> np.ndarray:
    """Attribute indices of n pictures, each drawn uniformly, no object in its background's colour.

    Parameters
    ----------
    n : int
        At least 1.
    seed : int
        Not negative. Row i depends on (seed, i) alone, so a larger n only adds rows.

    Returns
    -------
    rows : int64 array of shape (n, 6)
        Columns in the order of `ATTRIBUTES`.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"expected n >= 1 pictures and a seed >= 0, got n={n}, seed={seed}")
    counts = [len(names) for names in ATTRIBUTES.values()]
    rows = np.array(
        [np.random.default_rng([seed, i]).integers(counts) for i in range(n)], dtype=np.int64
    )
    same = rows[:, 1] == rows[:, 2]
    shift = [
        np.random.default_rng([seed, i, 1]).integers(1, len(COLOURS)) for i in np.flatnonzero(same)
    ]
    rows[same, 2] = (rows[same, 2] + shift) % len(COLOURS)
    return rows


@cache
def _texture(name, side):
    """Picture (side, side), 1 where the background has its second shade, else 0; eight periods."""
    y, x = np.mgrid[:side, :side] * (8 / side)
    second = {
        "plain": np.zeros((side, side), dtype=bool),
        "striped": (x + y) % 2 < 1,
        "spotted": (x % 2 - 1) ** 2 + (y % 2 - 1) ** 2 < 0.36,
        "checked": (x.astype(int) + y.astype(int)) % 2 == 1,
    }[name]
    return Image.fromarray(second.astype(np.uint8))


def render(
    row: Sequence[int], size: int = 64, rng: np.random.Generator | None = None
) -> Image.Image:
    """Draw one picture.

    Parameters
    ----------
    row : six ints
        Class indices in the order of `ATTRIBUTES`.
    size : int, default 64
        Side in pixels.
    rng : numpy Generator, optional
        If given, place, diameter, tilt and tints vary slightly, never enough to change an
        attribute's name.

    Returns
    -------
    picture : PIL RGB image of (size, size)
    """
    shape, colour, background, texture, scale, place = (
        names[i] for names, i in zip(ATTRIBUTES.values(), row, strict=True)
    )
    jitter = np.zeros(10) if rng is None else rng.uniform(-1, 1, 10)
    side = size * OVERSAMPLING
    tint, ground = (
        np.clip(np.array(COLOURS[name]) + 10 * shift, 0, 255)
        for name, shift in [(colour, jitter[:3]), (background, jitter[3:6])]
    )
    shade = ground * 0.68 if ground.mean() > 90 else ground + 0.3 * (255 - ground)
    centre = side * (0.5 + OFFSET * np.array(PLACES[place]) + jitter[6:8] / 64)
    radius = side * DIAMETERS[scale] / 2 * (1 + 0.04 * jitter[8])
    tilt = np.radians(5 * jitter[9])
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    for fill, polygons in zip([255, 0], shapes()[shape]):
        for polygon in polygons:
            pen.polygon([tuple(p) for p in (np.array(polygon) @ turn * radius + centre)], fill=fill)
    # A thin edge keeps neighbouring colours (grey on white, brown on black) apart.
    edge = mask.filter(ImageFilter.BoxBlur(side / 64 * 0.7)).point(lambda value: 255 * (value > 12))
    # While drawing, a pixel is its colour's number: a third of the bytes to move.
    picture = _texture(texture, side).copy()  # 0 and 1
    picture.paste(2, mask=edge)
    picture.paste(3, mask=mask)
    line = (255, 255, 255) if colour == "black" else (0, 0, 0)
    picture.putpalette(np.array([ground, shade, line, tint]).astype(np.uint8).tobytes())
    return picture.convert("RGB").resize((size, size), Image.Resampling.BOX)


class Scenes:
    """A sequence of n pictures, drawn on access.

    Parameters
    ----------
    n, seed : int
        As in `sample`.
    size : int, default 64
        Side in pixels.

    Attributes
    ----------
    attributes : int64 array of shape (n, 6)
    key : str
        Fingerprint of all pictures: renderer version, n, seed and size.
    """

    def __init__(self, n: int, seed: int, size: int = 64):
        self.seed, self.size = seed, size
        self.attributes = sample(n, seed)
        self.key = digest(f"{RENDERER} n={n} seed={seed} size={size}".encode())

    def __len__(self) -> int:
        return len(self.attributes)

    def __getitem__(self, i: int) -> Image.Image:
        i = range(len(self))[i]
        return render(self.attributes[i], self.size, np.random.default_rng([self.seed, i, 2]))
