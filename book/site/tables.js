// Sorts a page's tables of results by the column whose header is clicked or pressed: upwards, downwards, as it was.
(() => {
  "use strict";
  const NUMBER = /^([+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*%?\s*(?:\(|$)/i; // maybe a share, or an interval behind it
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
  const words = new Intl.Collator("en", { numeric: true });

  // Numbers stand before words and words before nothing, whichever way a column is sorted.
  function keyOf(cell) {
    const text = cell.textContent.trim();
    const number = text.match(NUMBER);
    if (number) return { rank: 0, value: Number(number[1].replaceAll(",", "")) };
    return { rank: /^(nan|none)?$/i.test(text) ? 2 : 1, value: text };
  }

  function compare(a, b, way) {
    if (a.rank !== b.rank) return a.rank - b.rank;
    return way * (a.rank === 0 ? a.value - b.value : words.compare(a.value, b.value));
  }

  // One row of headers and a cell below each in every row; a table with spans or more headers stays as it is.
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
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      if (!button.textContent.trim()) button.setAttribute("aria-label", "row"); // the index of a data frame has no name
      button.addEventListener("click", () => sort(column));
      head.append(button);
    });
  }

  function start() {
    [...document.querySelectorAll("table.dataframe")].filter(isPlain).forEach(makeSortable);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
