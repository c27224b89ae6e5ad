"""Move large pictures in a page's HTML to files beside it, each once, loaded when needed."""

import base64
import binascii
import re

from featpurity.files import digest

LARGE = 8_000  # letters of a data address; smaller pictures stay in the page
ADDRESS = re.compile(
    r'(?<=src=")data:image/(?P<kind>png|jpeg|webp|gif);base64,(?P<text>[A-Za-z0-9+/=\s]+)(?=")'
)


def move(html, folder, up):
    """The HTML with addresses of files instead of large data addresses.

    Parameters
    ----------
    html : str
    folder : Path
        Gets the files; each is named after its content, so that equal ones share a file.
    up : str
        The address of that folder from the page.
    """

    def moved(found):
        if len(found[0]) < LARGE:
            return found[0]
        try:
            content = base64.b64decode(found["text"])
        except binascii.Error:  # not a picture: leave it
            return found[0]
        name = f"{digest(content)[:16]}.{found['kind']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return f"{up}/{name}"

    return ADDRESS.sub(moved, html)
