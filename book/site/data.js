// What a figure shows, as rows of text: for the table below it, the CSV file, and readers who cannot see it.
const featpurityData = (() => {
  "use strict";
  const MARKUP = /<\/?(?:br|extra)\s*\/?>/gi;
  const LETTERS = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

  // A label without plotly's markup: "a &lt; b<br>c" becomes "a < b c".
  function plain(label) {
    return String(label ?? "").replace(MARKUP, " ").replace(/&(?:lt|gt|amp);/g, (name) => LETTERS[name]).trim();
  }

  const axisOf = (plot, trace, letter) => plot.layout[(trace[`${letter}axis`] ?? letter).replace(letter, `${letter}axis`)] ?? {};
  const isText = (values) => typeof values?.[0] === "string";

  function axisTitles(plot, traces, letter) {
    return [...new Set(traces.map((trace) => plain(axisOf(plot, trace, letter).title?.text)).filter(Boolean))];
  }

  // Name of the axis of some traces. Panels may share a title; if each has its own, the column of panels shows it.
  function axisTitle(plot, traces, letter) {
    const titles = axisTitles(plot, traces, letter);
    if (titles.length === 1) return titles[0];
    if (traces.some((trace) => isText(trace[letter]))) return "row";
    return titles.length ? "value" : { x: "place", y: "value" }[letter];
  }

  const near = (a, b) => Math.abs(a - b) < 1e-3;

  // The middle and the upper end of a trace's panel.
  function placeOf(plot, trace) {
    const [[left, right], [, top]] = ["x", "y"].map((letter) => axisOf(plot, trace, letter).domain ?? [0, 1]);
    return { middle: (left + right) / 2, top };
  }

  // The title above a panel: at the end of its axes or higher, as plotly shrinks square panels, but not that of the
  // next panel above.
  function titleAbove(plot, { middle, top }, places) {
    const isAbove = ({ x, y }) => near(x, middle) && y > top - 1e-3
      && !places.some((other) => near(other.middle, middle) && other.top > top + 1e-3 && other.top < y + 1e-3);
    return plain(plot.layout.annotations?.find(isAbove)?.text);
  }

  // Name of each trace's panel: the title above it, else those titles of its axes that other panels lack. Null for a
  // single panel.
  function panelNames(plot, traces) {
    const places = traces.map(({ xaxis = "x", yaxis = "y" }) => `${xaxis} ${yaxis}`);
    const panels = [...new Set(places)];
    if (panels.length < 2) return null;
    const boxes = traces.map((trace) => placeOf(plot, trace));
    const own = ["y", "x"].filter((letter) => axisTitles(plot, traces, letter).length > 1);
    return new Map(traces.map((trace, i) => {
      const titles = own.map((letter) => plain(axisOf(plot, trace, letter).title?.text)).filter(Boolean);
      return [trace, titleAbove(plot, boxes[i], boxes) || titles.join(", ") || `panel ${panels.indexOf(places[i]) + 1}`];
    }));
  }

  const isShown = ({ visible, hoverinfo }) => (visible ?? true) === true && hoverinfo !== "skip";

  function matrixRows(trace) {
    const [rows, columns] = [trace.y ?? [...trace.z.keys()], trace.x ?? [...trace.z[0].keys()]];
    return trace.z.flatMap((line, i) => Array.from(line, (value, j) => [rows[i], columns[j], value]));
  }

  function pointRows(trace, withErrors) {
    const n = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
    return Array.from({ length: n }, (_, i) => {
      const row = [trace.x?.[i] ?? i, trace.y?.[i] ?? i];
      if (!withErrors) return row;
      const [value, error] = trace.error_x?.array ? [row[0], trace.error_x] : [row[1], trace.error_y];
      if (!error?.array) return [...row, "", ""];
      return [...row, value - (error.arrayminus ?? error.array)[i], value + error.array[i]];
    });
  }

  function pointTable(plot, traces) {
    const withErrors = traces.some(({ error_x, error_y }) => error_x?.array || error_y?.array);
    const ends = withErrors ? ["interval from", "to"] : [];
    const columns = [axisTitle(plot, traces, "x"), axisTitle(plot, traces, "y"), ...ends];
    return { columns, rowsOf: (trace) => pointRows(trace, withErrors) };
  }

  function matrixTable(plot, traces) {
    const [one] = traces;
    const value = plain(one.colorbar?.title?.text ?? plot.layout.coloraxis?.colorbar?.title?.text) || "value";
    const [down, across] = ["y", "x"].map((letter) => axisTitles(plot, traces, letter)[0]);
    const sides = down && down === across ? [`${down}, row`, `${across}, column`] : [down ?? "row", across ?? "column"];
    return { columns: [...sides, value], rowsOf: matrixRows };
  }

  // The visible traces as a header and rows: {columns, rows}.
  function table(plot) {
    const traces = plot.data.filter(isShown);
    const matrices = traces.filter(({ type }) => type === "heatmap");
    const points = traces.filter(({ type }) => type !== "heatmap" && type !== "image");
    if (!points.length && !matrices.length) return { columns: [], rows: [] };
    const panels = panelNames(plot, [...points, ...matrices]);
    const parts = []; // points and matrices in one figure: rows of both, each with its own columns
    if (points.length) parts.push([points, pointTable(plot, points)]);
    if (matrices.length) parts.push([matrices, matrixTable(plot, matrices)]);
    const columns = parts.flatMap(([, part]) => part.columns);
    const rows = parts.flatMap(([those, part], i) => {
      const empty = (others) => others.flatMap(([, other]) => other.columns.map(() => ""));
      const [before, after] = [empty(parts.slice(0, i)), empty(parts.slice(i + 1))];
      return those.flatMap((trace) => {
        const named = trace.name ?? (those === matrices && parts.length > 1 ? "matrix" : "");
        const about = panels ? [named, panels.get(trace)] : [named];
        return part.rowsOf(trace).map((row) => [...about, ...before, ...row, ...after]);
      });
    });
    return { columns: ["shown", ...(panels ? ["panel"] : []), ...columns], rows: rows.map(texts) };
  }

  function texts(row) {
    return row.map((cell) => (typeof cell === "number" ? String(Number(cell.toPrecision(6))) : plain(cell)));
  }

  function csv({ columns, rows }) {
    const quoted = (cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    // A spreadsheet takes text that begins like this for a formula. A signed number, alone or before its interval and
    // unit, is not one.
    const SIGNED = /^[+-]\d[\d.,]*(e[+-]?\d+)?(\s[^=!'"]*)?$/;
    const isFormula = (cell) => /^[=+@\t\r-]/.test(cell) && !SIGNED.test(cell);
    const plainly = (cell) => (isFormula(cell) ? `'${cell}` : cell);
    return [columns, ...rows].map((row) => row.map(plainly).map(quoted).join(",")).join("\n") + "\n";
  }

  function save(name, address) {
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
  }

  function saveText(name, text, type = "text/csv") {
    const address = URL.createObjectURL(new Blob([text], { type }));
    save(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  return { plain, table, csv, save, saveText };
})();
