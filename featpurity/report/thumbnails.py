"""Small copies of pictures: one by one, in a row, or each of many once on a sheet.

A page that shows thousands of small pictures, most of them several times, loads one sheet that
holds each of them once, and shows places of it. A `Sheet` says which place is whose.
"""

import base64
import hashlib
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image, ImageOps

SIDE = 40  # pixels of a picture on a sheet
COLUMNS = 48  # pictures side by side
QUALITY = 55  # of WebP, where 100 is best


def square(picture: Image.Image, side: int = SIDE) -> Image.Image:
    """A small square copy of a picture, whole, with white where it is not square."""
    return ImageOps.pad(picture.convert("RGB"), (side, side), color="white")


def address(picture: Image.Image, quality: int = QUALITY) -> str:
    """A picture as a data address, a WebP."""
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality, method=6)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Sheet:
    """Square pictures side by side in one, each once.

    Attributes
    ----------
    tiles : dict of int to PIL image
        The small pictures by their place in the data set, in their order on the sheet.
    columns : int
        Pictures in a row of the sheet.
    """

    tiles: dict[int, Image.Image]
    columns: int = COLUMNS

    @cached_property
    def places(self) -> dict[int, int]:
        """Where on the sheet each picture of the data set lies: 0 for the first, row by row."""
        return {picture: place for place, picture in enumerate(self.tiles)}

    @cached_property
    def address(self) -> str:
        """The whole sheet as a data address."""
        return address(_side_by_side(list(self.tiles.values()), self.columns))

    @property
    def name(self) -> str:
        """What a page calls the sheet; sheets of other pictures have other names."""
        return f"sheet-{hashlib.sha256(self.address.encode()).hexdigest()[:12]}"

    def image(self) -> str:
        """The sheet as HTML; it is not shown itself, and a page loads it once it is needed."""
        about = f'id="{self.name}" class="sheet" data-columns="{self.columns}"'
        size = f'data-rows="{-(-len(self.tiles) // self.columns)}"'
        return f'<img {about} {size} src="{self.address}" alt="" loading="lazy" hidden>'

    def strip(self, pictures: Sequence[int], alt: str) -> str:
        """Some pictures of the data set in a row, as HTML that needs no sheet."""
        row = _side_by_side([self.tiles[picture] for picture in pictures], len(pictures))
        size = f'width="{row.width}" height="{row.height}"'
        return f'<img src="{address(row)}" {size} alt="{html.escape(alt)}">'


def sheet(dataset: Any, pictures: Iterable[int], side: int = SIDE) -> Sheet:
    """A sheet of some of a data set's pictures.

    Parameters
    ----------
    dataset : LabelledImages
        Or anything whose entries begin with a PIL image.
    pictures : iterable of int
        Places in the data set; each is decoded once, however often it stands there.
    side : int, default 40
        Pixels of a picture's side on the sheet.
    """
    return Sheet({place: square(dataset[place][0], side) for place in sorted(set(pictures))})


def _side_by_side(tiles, columns):
    """Squares of one size in rows, as one picture."""
    side = tiles[0].width if tiles else 1
    whole = Image.new("RGB", (columns * side, max(1, -(-len(tiles) // columns)) * side), "white")
    for place, tile in enumerate(tiles):
        whole.paste(tile, (place % columns * side, place // columns * side))
    return whole
