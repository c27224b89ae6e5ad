"""plotly's script for the pages: the small one for flat figures where it can be had.

The wheel of plotly brings the whole library (4.8 MB). npm has the part that draws lines, bars,
matrices and pictures (1.5 MB) at the same version. Without npm, or for a figure of another kind,
the wheel's own file serves.
"""

from pathlib import Path

import npm_file
import plotly
from plotly.offline import get_plotlyjs_version

WHOLE = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PACKAGE, MEMBER = "plotly.js-cartesian-dist-min", "plotly-cartesian.min.js"
FLAT = {
    "scatter",
    "bar",
    "box",
    "heatmap",
    "histogram",
    "histogram2d",
    "contour",
    "image",
    "violin",
}


# The script is one large function. A browser compiles it while the script is still on its way where
# parentheses stand around it; else the page waits for it, just before the first figure.
FUNCTION = {"this, () => {\n": "this, (() => {\n", "return Plotly;\n}));": "return Plotly;\n})));"}


def script_for(figures, cache=npm_file.CACHE):
    """The file that draws these figures.

    Parameters
    ----------
    figures : iterable of dict
        Figures as plotly's JSON.
    cache : Path
        Where the small script is kept.
    """
    kinds = {trace.get("type", "scatter") for figure in figures for trace in figure.get("data", [])}
    if not kinds <= FLAT:
        return WHOLE
    small = npm_file.fetch(PACKAGE, get_plotlyjs_version(), MEMBER, cache)
    if small is None:
        print(
            "npm did not bring plotly's small script: pages load the whole (4.8 instead of 1.5 MB)."
        )
    return small or WHOLE


def compiled_early(script):
    """plotly's script with parentheses around its function; one of another form stays as it is."""
    if all(script.count(end) == 1 for end in FUNCTION):
        for end, with_parenthesis in FUNCTION.items():
            script = script.replace(end, with_parenthesis)
    return script
