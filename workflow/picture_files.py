"""Large pictures of a page's HTML as files beside it, each once, loaded when they are needed."""

import base64
import binascii
import re

from featpurity.files import digest

LARGE = 8_000  # letters of a data address; a smaller picture stays in its page
ADDRESS = re.compile(
    r'(?<=src=")data:image/(?P<kind>png|jpeg|webp|gif);base64,(?P<text>[A-Za-z0-9+/=\s]+)(?=")'
)


def move(html, folder, up):
    """The HTML with the addresses of files in place of large data addresses.

    Parameters
    ----------
    html : str
    folder : Path
        Takes the files; a file is named after its content, so that equal ones are one.
    up : str
        The address of that folder from the page.
    """

    def moved(found):
        if len(found[0]) < LARGE:
            return found[0]
        try:
            content = base64.b64decode(found["text"])
        except binascii.Error:  # no picture: it stays what it is
            return found[0]
        name = f"{digest(content)[:16]}.{found['kind']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return f"{up}/{name}"

    return ADDRESS.sub(moved, html)
