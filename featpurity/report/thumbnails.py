"""Small copies of pictures: in a row, or many of them side by side on a sheet.

A page that shows hundreds of small pictures, some of them several times, loads a few sheets that
hold each picture once, and shows places of them. A `Sheet` says which place is whose.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image, ImageOps

from featpurity.files import digest

SIDE = 40  # pixels of a small picture
COLUMNS = 24  # of them side by side on a sheet
PICTURE = 96  # pixels of the longer side of a picture that stands by itself
QUALITY = 55  # of WebP, where 100 is best
SHARP = 80  # of a picture that stands by itself


class Thumbnails:
    """A data set's pictures as small squares; each is decoded once, when it is asked for.

    Parameters
    ----------
    dataset : LabelledImages
        Or anything whose entries are a PIL image and the number of its class.
    side : int, default 40
        Pixels of a side. A picture is shown whole, with white beside it where it is not square.
    """

    def __init__(self, dataset: Any, side: int = SIDE):
        self.dataset, self.side, self._known = dataset, side, {}

    def _entry(self, place):
        if place not in self._known:
            picture, label = self.dataset[place]
            size = (self.side, self.side)
            small = ImageOps.pad(picture.convert("RGB"), size, color="white")
            self._known[place] = small, int(label)
        return self._known[place]

    def __getitem__(self, place: int) -> Image.Image:
        return self._entry(place)[0]

    def label(self, place: int) -> int:
        """The number of a picture's class."""
        return self._entry(place)[1]

    def strip(self, places: Sequence[int], alt: str) -> str:
        """Some pictures in a row, as HTML that needs no sheet."""
        row = _side_by_side([self[place] for place in places], len(places))
        return _image(address(row), row.width, row.height, alt)

    def sheet(self, places: Iterable[int]) -> "Sheet":
        """A sheet of some pictures, each once however often it is named."""
        chosen = sorted(set(places))
        return Sheet(
            {place: self[place] for place in chosen}, [self.label(place) for place in chosen]
        )


@dataclass(frozen=True)
class Sheet:
    """Squares of one size side by side in one picture.

    Attributes
    ----------
    tiles : dict of int to PIL image
        The small pictures by their place in the data set, in their order on the sheet.
    labels : list of int
        The number of each one's class.
    """

    tiles: dict[int, Image.Image]
    labels: list[int]

    @cached_property
    def places(self) -> dict[int, int]:
        """Where on the sheet each picture of the data set lies: 0 for the first, row by row."""
        return {picture: place for place, picture in enumerate(self.tiles)}

    @cached_property
    def address(self) -> str:
        """The whole sheet as a data address."""
        return address(_side_by_side(list(self.tiles.values()), COLUMNS))

    @property
    def name(self) -> str:
        """What a page calls the sheet; sheets of other pictures have other names."""
        return f"sheet-{digest(self.address)[:12]}"

    def _repr_html_(self):
        """The sheet as HTML; it is not shown itself, and a page loads it once it is needed."""
        shape = f'data-columns="{COLUMNS}" data-rows="{-(-len(self.tiles) // COLUMNS)}"'
        labels = " ".join(map(str, self.labels))
        about = f'id="{self.name}" class="sheet" {shape} data-labels="{labels}"'
        return f'<img {about} src="{self.address}" alt="" loading="lazy" hidden>'


def address(picture: Image.Image, quality: int = QUALITY) -> str:
    """A picture as a data address, a WebP."""
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def small(picture: Image.Image, side: int = PICTURE) -> Image.Image:
    """A copy of a picture of at most `side` pixels a side."""
    copy = picture.convert("RGB")
    copy.thumbnail((side, side))
    return copy


def tag(picture: Image.Image, alt: str) -> str:
    """A picture as HTML, `PICTURE` pixels on its longer side, with words for who does not see it.

    It holds twice as many pixels, for screens that show them.
    """
    copy = small(picture, 2 * PICTURE)
    width, height = (round(PICTURE * side / max(copy.size)) for side in copy.size)
    return _image(address(copy, SHARP), width, height, alt)


def _image(source, width, height, alt):
    size = f'width="{width}" height="{height}"'
    return f'<img src="{source}" {size} alt="{html.escape(alt)}" loading="lazy">'


def _side_by_side(tiles, columns):
    """Squares of one size in rows, as one picture."""
    side = tiles[0].width
    whole = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side), "white")
    for place, tile in enumerate(tiles):
        whole.paste(tile, (place % columns * side, place // columns * side))
    return whole
