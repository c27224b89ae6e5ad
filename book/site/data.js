// What a figure shows, as rows of text: for the table below it, for the CSV file, and for who cannot see it.
const featpurityData = (() => {
  "use strict";
  const MARKUP = /<\/?(?:br|extra)\s*\/?>/gi;
  const LETTERS = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

  // A label without plotly's markup: "a &lt; b<br>c" reads "a < b c".
  function plain(label) {
    return String(label ?? "").replace(MARKUP, " ").replace(/&(?:lt|gt|amp);/g, (name) => LETTERS[name]).trim();
  }

  // The title of the first axis of some traces that has one: panels share a title, a matrix beside lines has its own.
  function axisTitle(plot, traces, letter) {
    const axes = traces.map((trace) => (trace[`${letter}axis`] ?? letter).replace(letter, `${letter}axis`));
    return plain(axes.map((key) => plot.layout[key]?.title?.text).find(Boolean)) || letter;
  }

  const isShown = ({ visible, hoverinfo }) => (visible ?? true) === true && hoverinfo !== "skip";

  function matrixRows(trace) {
    const [rows, columns] = [trace.y ?? [...trace.z.keys()], trace.x ?? [...trace.z[0].keys()]];
    return trace.z.flatMap((line, i) => Array.from(line, (value, j) => [trace.name, rows[i], columns[j], value]));
  }

  function pointRows(trace, withErrors) {
    const n = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
    return Array.from({ length: n }, (_, i) => {
      const row = [trace.name ?? "", trace.x?.[i] ?? i, trace.y?.[i] ?? i];
      if (!withErrors) return row;
      const [value, error] = trace.error_x?.array ? [row[1], trace.error_x] : [row[2], trace.error_y];
      if (!error?.array) return [...row, "", ""];
      return [...row, value - (error.arrayminus ?? error.array)[i], value + error.array[i]];
    });
  }

  function pointTable(plot, traces) {
    const withErrors = traces.some(({ error_x, error_y }) => error_x?.array || error_y?.array);
    const ends = withErrors ? ["interval from", "to"] : [];
    const columns = ["shown", axisTitle(plot, traces, "x"), axisTitle(plot, traces, "y"), ...ends];
    return { columns, rows: traces.flatMap((trace) => pointRows(trace, withErrors)) };
  }

  function matrixTable(plot, traces) {
    const [one] = traces;
    const value = plain(one.colorbar?.title?.text ?? plot.layout.coloraxis?.colorbar?.title?.text) || "value";
    const [down, across] = ["y", "x"].map((letter) => axisTitle(plot, traces, letter));
    const columns = ["shown", ...(down === across ? [`${down}, row`, `${across}, column`] : [down, across]), value];
    return { columns, rows: traces.flatMap(matrixRows) };
  }

  // Points and a matrix in one figure: rows of both, each with its own columns.
  function together(points, matrix) {
    const [before, after] = [points.columns.slice(1).map(() => ""), matrix.columns.slice(1).map(() => "")];
    return {
      columns: [...points.columns, ...matrix.columns.slice(1)],
      rows: [...points.rows.map((row) => [...row, ...after]), ...matrix.rows.map(([name, ...row]) => [name ?? "matrix", ...before, ...row])],
    };
  }

  // The traces that are shown, as a header and rows: {columns, rows}.
  function table(plot) {
    const traces = plot.data.filter(isShown);
    const matrices = traces.filter(({ type }) => type === "heatmap");
    const points = traces.filter(({ type }) => type !== "heatmap" && type !== "image");
    const parts = [points.length && pointTable(plot, points), matrices.length && matrixTable(plot, matrices)].filter(Boolean);
    if (!parts.length) return { columns: [], rows: [] };
    const { columns, rows } = parts.length === 2 ? together(...parts) : parts[0];
    return { columns, rows: rows.map(texts) };
  }

  function texts(row) {
    return row.map((cell) => (typeof cell === "number" ? String(Number(cell.toPrecision(6))) : plain(cell)));
  }

  function csv({ columns, rows }) {
    const quoted = (cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    // A spreadsheet takes a text that begins so for a formula.
    const plainly = (cell) => (/^[=+@\t\r-]/.test(cell) && !Number.isFinite(Number(cell)) ? `'${cell}` : cell);
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
