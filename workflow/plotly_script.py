"""Choose plotly's script for the pages: the small one for flat figures, if available.

plotly's wheel has the whole library (4.8 MB). npm has the part that draws lines, bars, matrices and
pictures (1.5 MB) at the same version. Without npm, or for other kinds of figures, the wheel's file
is used.
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


# The script is one large function. In parentheses, a browser compiles it while it is still loading;
# otherwise the page waits for that just before the first figure.
FUNCTION = {"this, () => {\n": "this, (() => {\n", "return Plotly;\n}));": "return Plotly;\n})));"}


def script_for(figures, cache=npm_file.CACHE):
    """The script file that draws these figures.

    Parameters
    ----------
    figures : iterable of dict
        Figures as plotly's JSON.
    cache : Path
        Folder for the small script.
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
    """plotly's script with its function in parentheses; a script of another form is unchanged."""
    if all(script.count(end) == 1 for end in FUNCTION):
        for end, with_parenthesis in FUNCTION.items():
            script = script.replace(end, with_parenthesis)
    return script
