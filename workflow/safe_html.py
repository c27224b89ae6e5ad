"""Make notebook outputs safe HTML for a page: tables, text, pictures, nothing that runs.

A caption, a class or a file may be named anything. The package escapes such names when it writes a
table; HTML from elsewhere (a styled data frame, a user's own notebook) passes here too. Scripts,
event handlers, styles, forms, and pictures and frames from other hosts are removed.
"""

import re

import nh3
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from featpurity.report.tables import LONGEST

TEXT = "a abbr b br code div em figcaption figure h2 h3 h4 hr i img li ol p pre s small span"
TEXT += " strong sub sup ul"
TABLES = "table caption colgroup col thead tbody tfoot tr th td details summary"
ATTRIBUTES = {
    "*": {"class", "id", "title", "role", "aria-label", "aria-hidden", "hidden"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "loading"},
    "th": {"colspan", "rowspan", "scope"},
    "td": {"colspan", "rowspan"},
    "details": {"open"},
    "ol": {"start"},
}
PICTURE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=\s]*")
PAGE = re.compile(r"(?P<page>[\w./-]+)\.(?:ipynb|md)(?P<part>#[\w-]*)?")
SAFE_STYLE = {
    "background-position",
    "background-size",
    "width",
    "height",
    "grid-column",
    "grid-row",
}


def _attribute(tag, name, value):
    """The attribute to keep: pictures must be in the page, links to notebooks lead to pages."""
    if (tag, name) == ("img", "src"):
        return value if PICTURE.fullmatch(value) else None
    if (tag, name) == ("a", "href"):
        page = PAGE.fullmatch(value)
        value = f"{page['page']}.html{page['part'] or ''}" if page else value
        return None if value.strip().lower().startswith("data:") else value
    return None if name == "data-figure" else value  # it names a script


def clean(html):
    """HTML of an output with only tables, text and pictures, and with long tables folded."""
    safe = nh3.clean(
        html,
        tags=set(TEXT.split()) | set(TABLES.split()),
        attributes=ATTRIBUTES | {"div": {"style"}, "span": {"style"}},
        attribute_filter=_attribute,
        generic_attribute_prefixes={"data-"},
        filter_style_properties=SAFE_STYLE,
        url_schemes={"https", "http", "data"},
        link_rel=None,
    )
    return tidy_tables(safe)


def markdown(text):
    """A Markdown output as safe HTML; any HTML in it becomes text."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return clean(reader.render(text))


def tidy_tables(html):
    """Mark tables of results, turn empty headings into cells, and fold long tables."""
    if "<table" not in html and "<img" not in html:
        return html
    page = BeautifulSoup(html, "html.parser")
    for picture in page.find_all("img", alt=False):
        picture["alt"] = ""
    for table in page.find_all("table"):
        table["class"] = list(dict.fromkeys(["dataframe", *table.get("class", [])]))
        for head in table.select("thead th"):
            if not head.get_text(strip=True):
                head.name = "td"
        rows = len(table.find_all("tr")) - 1
        if rows > LONGEST and not table.find_parent("details"):
            details = table.wrap(page.new_tag("details"))
            details.insert(0, page.new_tag("summary", string=f"Table of {rows} rows"))
    return str(page)
