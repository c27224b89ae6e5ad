"""Finish the built pages: lighter, described for shared links, the theme's faults mended.

Ten functions change what Sphinx and the theme write: formulas become MathML, which browsers draw by
themselves; heavy scripts that a page does not need are left out; its first figure's scripts load
early; the head gets a description and a picture; code goes below what it shows; chapters' cards
show the answers; chapters that were not run are set apart; labels that hide their own words are
removed; per cent signs stay with their numbers; and a site map is written.
"""

import html
import re
from urllib.parse import urljoin

from bs4 import BeautifulSoup, SoupStrainer
from bs4.element import PreformattedString
from latex2mathml.converter import convert

NAME = re.compile(r"fa-[\w-]+")
ICON = re.compile(r"(?:\.fa-[\w-]+:before,?)+\{content:[^{}]*\}")
LONGEST_DESCRIPTION = 200  # letters; sites that show it would cut more
UNUSED = ("*.map", "vendor/fontawesome/webfonts/*.ttf", "vendor/fontawesome/webfonts/fa-brands*")


def finish(site, title, address="", absent=()):
    """Finish every page of a built book.

    Parameters
    ----------
    site : Path
        The folder of the built pages.
    title : str
        The book's title.
    address : str
        Where the book will be read, "https://host/folder/"; empty if unknown. The site map and the
        pictures of shared links need it.
    absent : iterable of str
        Chapters that were not run, as "notebooks/04_data_quality_ladder".
    """
    absent = [f"{name.rpartition('/')[2]}.html" for name in absent]
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    for path in pages:
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        name = path.relative_to(site).as_posix()
        draw_formulas(page)
        leave_out_heavy(page)
        ask_early(page)
        describe(page, name, title, address)
        show_first(page)
        answer_on_cards(page, path.parent)
        stand_apart(page, path.name, absent)
        mend(page)
        keep_together(page)
        path.write_text(str(page), "utf-8")
    leave_out_icons(site, pages)
    for pattern in UNUSED:
        for path in (site / "_static").rglob(pattern):
            path.unlink()
    if address:
        write_map(site, [path.relative_to(site).as_posix() for path in pages], address)


def draw_formulas(page):
    """Turn formulas into MathML; one that cannot be converted is left to MathJax."""
    for formula in page.select(".math"):
        text = formula.get_text().strip()
        block = formula.name == "div"
        latex = re.sub(r"^\\[(\[]|\\[)\]]$", "", text).strip()
        try:
            drawn = convert(latex, display="block" if block else "inline")
        except Exception:  # the converter's errors have no common class
            continue
        if "<mi>&</mi>" in drawn:  # an environment unknown to the converter
            continue
        formula.clear()
        formula.append(BeautifulSoup(drawn, "html.parser"))
        formula["class"] = ["formula"]


def leave_out_heavy(page):
    """Leave out heavy files that a page does not need.

    Icons come from the theme's font, not a script; only remaining formulas need MathJax, and only
    the page of search results needs the search scripts.
    """
    unused = {"fontawesome.js"}
    if not page.select(".math"):
        unused.add("tex-svg.js")
    if not page.select("#search-results"):
        unused |= {"searchindex.js", "searchtools.js", "language_data.js"}
    for script in page.find_all("script", src=True):
        if script["src"].partition("?")[0].rpartition("/")[2] in unused:
            script.decompose()
    if not page.select("[class^='sd-'], [class*=' sd-']"):
        for link in page.find_all("link", href=re.compile(r"sphinx-design\.min\.css")):
            link.decompose()


def ask_early(page):
    """Preload the scripts of a page's first figure, which `figures.js` would request only later."""
    figure = page.select_one("figure[data-figure]")
    own = page.find("script", src=re.compile(r"_static/figures\.js"))
    if figure is None or own is None or page.head is None:
        return
    folder = own["src"].partition("figures.js")[0]
    for file in ("plotly.min.js", f"figures/{figure['data-figure']}.js"):
        attributes = {"rel": "preload", "as": "script", "href": folder + file}
        page.head.append(page.new_tag("link", attrs=attributes))


def leave_out_icons(site, pages):
    """Drop from the theme's style the 1,900 icons that no page shows."""
    used = set(re.findall(r"fa-[\w-]+", "".join(path.read_text("utf-8") for path in pages)))
    for path in (site / "_static" / "styles").glob("pydata-sphinx-theme.css"):
        kept = ICON.sub(
            lambda rule: rule[0] if used & set(NAME.findall(rule[0])) else "",
            path.read_text("utf-8"),
        )
        path.write_text(kept, "utf-8")


def describe(page, name, title, address):
    """Add a description, and what a shared link shows: title, sentence, picture."""
    article = page.find("article")
    if page.head is None or article is None:
        return
    heading = article.find("h1")
    first = next((p for p in article.find_all("p") if len(p.get_text(strip=True)) > 40), None)
    sentence = " ".join(first.get_text(" ", strip=True).split()) if first else title
    if len(sentence) > LONGEST_DESCRIPTION:
        sentence = sentence[:LONGEST_DESCRIPTION].rpartition(" ")[0] + " ..."
    named = heading.get_text(" ", strip=True).rstrip("#").strip() if heading else title
    tags = {
        "og:title": named,
        "og:description": sentence,
        "og:type": "article",
        "og:site_name": title,
    }
    still = article.select_one("img.still")
    if still:
        tags["og:image"] = urljoin(urljoin(address, name), still["src"])
    if address:
        tags["og:url"] = urljoin(address, name)
        page.head.append(page.new_tag("link", rel="canonical", href=tags["og:url"]))
    page.head.append(page.new_tag("meta", attrs={"name": "description", "content": sentence}))
    for key, value in tags.items():
        page.head.append(page.new_tag("meta", attrs={"property": key, "content": value}))


def show_first(page):
    """Move a cell's folded code below what it shows: readers come for the figure."""
    for code in page.select("div.cell > details.above-input"):
        code.parent.append(code.extract())


def cards(page):
    """Yield the cards of a page that lead to another one, with its address."""
    for link in page.select(".sd-card a.sd-stretched-link[href]"):
        yield link.find_parent(class_="sd-card"), link["href"]


def answer_on_cards(page, folder):
    """Show on a chapter's card, below the question, the result that opens the chapter."""
    answers = SoupStrainer("p", class_="answer")
    for card, address in cards(page):
        chapter = (folder / address).read_text("utf-8")
        if answer := BeautifulSoup(chapter, "html.parser", parse_only=answers).p:
            answer["class"] = ["sd-card-text", "answer"]
            card.find(class_="sd-card-body").append(answer)


def stand_apart(page, name, absent):
    """Set chapters that were not run apart: grey in contents and cards, never next or previous."""
    for link in page.select("nav a[href]"):
        if link["href"].rpartition("/")[2] in absent or (link["href"] == "#" and name in absent):
            link["class"] = [*link.get("class", []), "not-in-this-run"]
    for link in page.select("a.left-prev[href], a.right-next[href]"):
        if name in absent or link["href"].rpartition("/")[2] in absent:
            link.decompose()
    for card, address in list(cards(page)):
        if address.rpartition("/")[2] in absent:
            card["class"] = [*card["class"], "not-in-this-run"]
            note = page.new_tag("p", string="Not in this run.", attrs={"class": "sd-card-text"})
            card.find(class_="sd-card-body").append(note)
            place = card.find_parent(class_="sd-col")
            place.parent.append(place)  # after those that were run


def mend(page):
    """Remove the theme's mistakes for screen readers: labels that differ from the words shown."""
    for summary in page.select("details summary[aria-label]"):
        del summary["aria-label"]
    for button in page.select("button[aria-label]"):
        if button.get_text(strip=True):
            del button["aria-label"]
    for cited in page.select("div[role='list'], div.citation[role]"):
        del cited["role"]


def keep_together(page):
    """Keep a per cent sign on the line of its number."""
    for text in page.find_all(string=re.compile(r"\d %")):
        hidden = isinstance(text, PreformattedString)  # a comment, say
        if not hidden and not text.find_parent(["script", "style", "pre", "code"]):
            text.replace_with(re.sub(r"(\d) %", "\\1\u00a0%", text))


def write_map(site, names, address):
    """Write `sitemap.xml` and `robots.txt`, which tell search engines the pages."""
    shown = [name for name in names if name not in ("genindex.html", "search.html")]
    urls = "\n".join(
        f"<url><loc>{html.escape(urljoin(address, name))}</loc></url>" for name in shown
    )
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{SITEMAP}">\n{urls}\n</urlset>\n'
    )
    (site / "sitemap.xml").write_text(text, "utf-8")
    (site / "robots.txt").write_text(f"Sitemap: {urljoin(address, 'sitemap.xml')}\n", "utf-8")


SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"


def broken_links(site):
    """Yield links inside the book that lead nowhere, as (page, link)."""
    anchors = {}
    pages = {
        path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in site.rglob("*.html")
    }
    for path, page in pages.items():
        anchors[path] = {tag["id"] for tag in page.find_all(id=True)}
    for path, page in pages.items():
        for link in page.find_all("a", href=True):
            target, _, part = link["href"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (path.parent / target.partition("?")[0]).resolve() if target else path
            if not file.exists() or (part and file in anchors and part not in anchors[file]):
                yield path.relative_to(site).as_posix(), link["href"]
