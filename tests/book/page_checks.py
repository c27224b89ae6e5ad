"""What must be true of every page of every built book, as sentences on what is not.

Each function takes an open page (`conftest.Visit`) and yields its faults.
"""

import re

HEAVIEST = 3e6  # bytes of a page with all it loads
TAB_STOPS = 88
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
HAND = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
NUMBER = re.compile(r"[-\u2212]?\d+(?:\.\d+)?")
# Choose every entry of each menu, the first one last, and see whether what is drawn changes.
TRY_MENUS = """async () => {
  const unmoved = [];
  for (const select of document.querySelectorAll("figure.featpurity-figure select")) {
    const host = select.closest("figure"), plot = host.querySelector(".plot");
    const n = select.options.length;
    for (let i = 1; i <= n; i++) {
      const before = plot.querySelector("svg.main-svg").outerHTML;
      const changed = new Promise((done) => plot.addEventListener("changed", done, { once: true }));
      select.selectedIndex = i % n;
      select.dispatchEvent(new Event("change"));
      await changed;
      if (plot.querySelector("svg.main-svg").outerHTML === before)
        unmoved.push(`${host.dataset.figure}, ${select.options[i % n].text}`);
    }
  }
  return unmoved;
}"""
SERIOUS = """async (options) => (await axe.run({ resultTypes: ["violations"], ...options })).violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`)"""
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that look at colours
COUNT_STOPS = """() => [...document.querySelectorAll(
  "article :is(a[href], button, select, input, summary, [tabindex])")].filter((node) =>
  node.tabIndex >= 0 && node.checkVisibility() && node.getClientRects().length).length"""
# Point at a value of each figure: what the label and the table below the figure say of it.
POINT_AT_VALUES = """async () => {
  const found = [], frame = () => new Promise(requestAnimationFrame);
  for (const host of document.querySelectorAll("figure.featpurity-figure")) {
    const plot = host.querySelector(".plot"), words = host.querySelector("details.in-words");
    const shown = ({ visible, hoverinfo }) => (visible ?? true) === true && hoverinfo !== "skip";
    const i = plot.data.findIndex((trace) => shown(trace) && trace.type !== "image");
    if (i < 0) continue;
    const trace = plot.data[i], matrix = trace.type === "heatmap";
    const values = matrix ? trace.z[0] : typeof trace.y[0] === "number" ? trace.y : trace.x;
    const point = Array.from(values).findIndex(Number.isFinite);
    if (point < 0) continue;
    const value = values[point], subplot = `${trace.xaxis ?? "x"}${trace.yaxis ?? "y"}`;
    plot.scrollIntoView({ block: "center" });
    const cell = { xval: trace.x?.[point] ?? point, yval: trace.y?.[0] ?? 0 };
    Plotly.Fx.hover(plot, matrix ? cell : [{ curveNumber: i, pointNumber: point }], subplot);
    const label = () => Array.from(plot.querySelectorAll(".hoverlayer text"), (text) => text.textContent).join(" ");
    for (let wait = 0; wait < 60 && !label(); wait++) await frame();
    words.open = true;
    for (let wait = 0; wait < 60 && !words.querySelector("tbody"); wait++) await frame();
    const cells = Array.from(words.querySelectorAll("tbody td"), (cell) => Number(cell.textContent));
    words.open = false;
    found.push({ name: host.dataset.figure, value, label: label(), inTable: cells.includes(Number(value.toPrecision(6))) });
    Plotly.Fx.unhover(plot);
  }
  return found;
}"""
SCROLLED = """async (before) => {
  const end = performance.now() + 3000;
  while (scrollY === before && performance.now() < end) await new Promise(requestAnimationFrame);
  return scrollY !== before;
}"""
PRINTED = """async () => {
  const blank = [];
  for (const host of document.querySelectorAll("figure.featpurity-figure")) {
    const still = host.querySelector("img.still");
    if (!still?.checkVisibility()) { blank.push(`${host.dataset.figure} has no picture`); continue; }
    still.scrollIntoView();
    still.loading = "eager";
    await still.decode().catch(() => blank.push(`${host.dataset.figure} has a broken picture`));
    if (host.querySelector(".controls")?.checkVisibility()) blank.push(`${host.dataset.figure} prints its buttons`);
  }
  return blank;
}"""


TOO_WIDE = """() => [...document.querySelectorAll("article :is(table, pre)")]
  .filter((node) => node.checkVisibility() && !node.closest(".table-frame"))
  .filter((node) => node.scrollWidth > node.clientWidth + 1 || node.getBoundingClientRect().right
    > node.closest("div.text_html, div.highlight, div, section").getBoundingClientRect().right + 1)
  .map((node) => `${node.tagName} ${node.textContent.trim().slice(0, 40)}: ${node.scrollWidth} pixels`)"""


def pages(book):
    named = (path.relative_to(book).as_posix() for path in sorted(book.rglob("*.html")))
    return [name for name in named if not name.startswith("_static/") and name != "index.html"]


def of_the_run(book):
    """Pages that tell of the run; the others are the same in every book."""
    told = ("book/introduction", "book/data_and_models", "book/how_it_was_made", "notebooks/")
    return [name for name in pages(book) if name.startswith(told)]


def book_faults(book, visit, check, scheme="http", names=None, **context):
    """The faults that a check finds on the pages of a book, or on some, each with its page."""
    visited, found = visit(book, scheme=scheme, **context), []
    for name in names or pages(book):
        visited.open(name)
        found += [f"{name}: {fault}" for fault in check(visited)]
    visited.page.context.close()
    return found


def whole(visited, axe):
    """Errors, other hosts, figures not drawn, width, weight, stops of the Tab key, accessibility."""
    drawn = visited.draw_all()
    yield from visited.faults
    yield from (f"{figure['name']} was not drawn" for figure in drawn if not figure["drawn"])
    if visited.page.locator(".modebar-btn").count():
        yield "plotly's own buttons are there, and one of them uploads the chart"
    width = visited.page.evaluate("document.documentElement.scrollWidth")
    if width > visited.page.viewport_size["width"]:
        yield f"it is {width} pixels wide"
    if visited.weight() > HEAVIEST:
        yield f"it weighs {visited.weight():,} bytes with all that it loads"
    stops = visited.page.evaluate(COUNT_STOPS)
    if stops > TAB_STOPS:
        yield f"it has {stops} stops of the Tab key"
    visited.page.evaluate(axe)
    yield from visited.page.evaluate(SERIOUS, {})


def menu_faults(visited):
    """Entries of menus, drawn, that change nothing."""
    for unmoved in visited.page.evaluate(TRY_MENUS):
        yield f"{unmoved} changes nothing"
    yield from visited.faults


def value_faults(visited):
    """Figures, drawn, whose label at a value, or whose table, does not say that value."""
    for figure in visited.page.evaluate(POINT_AT_VALUES):
        if not figure["inTable"]:
            yield f"{figure['name']}: its table lacks {figure['value']}"
        if not any(rounds_to(figure["value"], text) for text in NUMBER.findall(figure["label"])):
            yield f"{figure['name']}: at {figure['value']} its label says {figure['label']!r}"


def width_faults(visited):
    """Tables and code, seen without opening anything, that are wider than their place."""
    for wide in visited.page.evaluate(TOO_WIDE):
        yield f"too wide: {wide}"


def print_faults(visited):
    """Figures that are blank on paper."""
    visited.page.emulate_media(media="print")
    yield from visited.page.evaluate(PRINTED)
    visited.page.emulate_media(media="screen")


# Plotly says which axes a reader moves; a figure that fits its place anew, or is whole again, moves none.
NOTE_MOVES = """(plot) => {
  plot.moved = [];
  for (const event of ["plotly_relayouting", "plotly_relayout"])
    plot.on(event, (change) => plot.moved.push(...Object.keys(change).filter((key) => key.includes(".range"))));
}"""
SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def swipe_faults(visited):
    """Figures, drawn, on which a finger does not scroll the page, or moves the axes instead."""
    page = visited.page
    finger = page.context.new_cdp_session(page)

    def touch(kind, *points):
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    for figure in page.locator("figure.featpurity-figure").all():
        name, plot = figure.get_attribute("data-figure"), figure.locator(".plot")
        plot.evaluate("(plot) => plot.scrollIntoView({ block: 'center' })")
        page.evaluate(SETTLED)  # a figure may still be fitting its place
        plot.evaluate(NOTE_MOVES)
        before, box = page.evaluate("scrollY"), plot.bounding_box()
        x, y = box["x"] + box["width"] / 2, PHONE["height"] / 2 + 80
        touch("Start", {"x": x, "y": y})
        for step in range(1, 5):
            touch("Move", {"x": x, "y": y - 40 * step})
        touch("End")
        if not page.evaluate(SCROLLED, before):
            yield f"a swipe on {name} does not scroll"
        if moved := plot.evaluate("(plot) => plot.moved"):
            yield f"a swipe on {name} moves its axes: {', '.join(moved)}"
    finger.detach()


def turned_dark(visited):
    """What the accessibility checker finds in the colours once the reader's system turns dark."""
    visited.page.emulate_media(color_scheme="dark")
    visited.page.locator("html[data-theme='dark']").wait_for(state="attached")
    yield from visited.page.evaluate(SERIOUS, {"runOnly": COLOURS})
    yield from visited.faults
    visited.page.emulate_media(color_scheme="light")


def rounds_to(value, text):
    """Whether a number as it is written is the value, rounded."""
    text = text.replace("\u2212", "-")
    last = 10.0 ** -len(text.partition(".")[2])
    return abs(float(text) - value) <= last * 0.51


# How a book is opened, and what is looked for beside `whole`: scheme, context of the browser, look,
# checks. Whoever looks at errors again reads over http: of files the accessibility checker may not
# read all, and that is an error.
VISITS = {
    "wide-light": ("file", {"viewport": WIDE}, "light", [value_faults, width_faults, print_faults]),
    "wide-dark": ("http", {"viewport": WIDE}, "dark", [menu_faults]),
    "phone": ("http", HAND, "light", [swipe_faults, turned_dark]),
}


def visit_faults(book, visit, axe, name, names=None, more=()):
    """What one of `VISITS`, and more checks, find on all pages of a book, or on some."""
    scheme, context, look, others = VISITS[name]

    def check(visited):
        yield from whole(visited, axe)
        for other in [*others, *more]:
            yield from other(visited)

    return book_faults(book, visit, check, scheme, names, color_scheme=look, **context)
