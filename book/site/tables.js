// A page's tables of results: press a header to sort by its column (ascending, descending, as it was), numbers aligned,
// saved as CSV, and rows shown as cards on a phone too narrow for the table.
(() => {
  "use strict";
  const NUMBER = /^([+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*%?\s*(?:\(|$)/i; // maybe with % or an interval
  const LONG = 5; // rows; longer tables can be saved as a file
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
  const words = new Intl.Collator("en", { numeric: true });

  // A cell's text; for a picture, its alternative text.
  const textOf = (cell) => (cell.textContent.trim() || cell.querySelector("img")?.alt || "").replaceAll("\u00a0", " ");

  // Numbers come before words, and words before empty cells, whichever way a column is sorted.
  function keyOf(cell) {
    const text = textOf(cell);
    const number = text.match(NUMBER);
    if (number) return { rank: 0, value: Number(number[1].replaceAll(",", "")) };
    return { rank: /^(nan|none)?$/i.test(text) ? 2 : 1, value: text };
  }

  function compare(a, b, way) {
    if (a.rank !== b.rank) return a.rank - b.rank;
    return way * (a.rank === 0 ? a.value - b.value : words.compare(a.value, b.value));
  }

  // One row of headers and one cell per header in every row; tables with spans or more headers stay as they are.
  function isPlain({ tHead, tBodies }) {
    if (tHead?.rows.length !== 1 || tBodies.length !== 1) return false;
    const rows = [...tHead.rows, ...tBodies[0].rows].map((row) => [...row.cells]);
    return rows.every((cells) => cells.length === rows[0].length && cells.every(({ colSpan, rowSpan }) => colSpan * rowSpan === 1));
  }

  function makeSortable(table) {
    const [body, heads] = [table.tBodies[0], [...table.tHead.rows[0].cells]];
    const rows = [...body.rows];
    const sort = (column) => {
      const order = NEXT[heads[column].getAttribute("aria-sort") ?? "none"];
      const way = { none: 0, ascending: 1, descending: -1 }[order];
      const keys = new Map(rows.map((row) => [row, keyOf(row.cells[column])]));
      body.append(...(way ? [...rows].sort((a, b) => compare(keys.get(a), keys.get(b), way)) : rows));
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      if (way) heads[column].setAttribute("aria-sort", order);
    };
    const buttons = heads.map((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      if (!button.textContent.trim()) button.setAttribute("aria-label", "row"); // the index of a data frame has no name
      button.addEventListener("click", () => sort(column));
      head.append(button);
      return button;
    });
    featpurityControls.oneStop(table.tHead, buttons);
  }

  const headsOf = (table) => [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());

  // Label each cell with its heading, for cards, and mark numbers.
  function label(table) {
    const heads = headsOf(table);
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, i) => {
        cell.dataset.label = heads[i];
        if (cell.tagName === "TD" && keyOf(cell).rank === 0) cell.classList.add("number");
      });
    }
  }

  function offerFile(table) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "csv";
    button.textContent = "CSV";
    button.title = "Save this table as a CSV file";
    const heads = headsOf(table);
    button.addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map(textOf));
      featpurityData.saveText("table.csv", featpurityData.csv({ columns: heads, rows }));
    });
    (table.closest(".pst-scrollable-table-container") ?? table).after(button);
  }

  // A table wider than its frame is set tighter; if that is not enough, its rows become cards (on a phone: see the
  // style).
  function fit(table) {
    const frame = table.parentElement;
    const tooWide = () => frame.scrollWidth > frame.clientWidth + 1;
    table.classList.remove("tight", "cards");
    if (tooWide()) table.classList.add("tight");
    if (table.dataset.cards || tooWide()) table.classList.add("cards");
  }

  function keepFitting(tables) {
    if (!tables.length) return;
    tables.filter((table) => table.matches(".cards")).forEach((table) => { table.dataset.cards = "always"; });
    new ResizeObserver(() => tables.forEach(fit)).observe(document.querySelector("article"));
    for (const table of tables) table.closest("details")?.addEventListener("toggle", () => fit(table)); // no width before
  }

  // Make what scrolls sideways reachable by keyboard.
  function reachScrolling() {
    const frames = ".text_html, .pst-scrollable-table-container, .formula, pre";
    for (const frame of document.querySelectorAll(frames)) {
      const reached = frame.querySelector("a[href], button");
      if (frame.scrollWidth > frame.clientWidth + 1 && !reached) frame.tabIndex = 0;
    }
    // Links of headings and figures to themselves are for the mouse; the Tab key would stop at each.
    for (const link of document.querySelectorAll("a.headerlink, figure a.number")) link.tabIndex = -1;
  }

  function start() {
    const tables = [...document.querySelectorAll("table.dataframe, table.verdicts")].filter(isPlain);
    tables.forEach(label);
    const results = tables.filter((table) => table.matches(".dataframe"));
    results.filter((table) => table.tBodies[0].rows.length > LONG).forEach(offerFile);
    results.forEach(makeSortable);
    const finish = () => { keepFitting(tables); reachScrolling(); };
    const idle = window.requestIdleCallback ?? setTimeout; // Safari has no idle callbacks
    if (document.querySelector("figure.featpurity-figure")) idle(finish, { timeout: 500 }); // figures are drawn first
    else finish();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
