// The look of the book's figures: light or dark, on a wide screen or a phone. Used by figures.js. The colours are Okabe
// and Ito's, which colour-blind readers can tell apart, with lighter ones for a dark background.
const featpurityLooks = (() => {
  "use strict";
  const root = document.documentElement;
  const looks = {
    light: {
      colorway: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#7F7F7F"],
      diverging: [[0, "#00518a"], [0.25, "#7fb2d8"], [0.5, "#fbfbfb"], [0.75, "#eca472"], [1, "#a83d00"]],
      grid: "#dfe3e8",
    },
    dark: {
      colorway: ["#56B4E9", "#FF8F45", "#2CC298", "#E79BC6", "#A9CBFF", "#F2BC3D", "#F7EF7A", "#B8B8B8"],
      diverging: [[0, "#9fd3ff"], [0.25, "#2f76ad"], [0.5, "#16191d"], [0.75, "#b3571a"], [1, "#ffc296"]],
      grid: "#3a4048",
    },
  };

  const isDark = () => root.dataset.theme === "dark";

  // A figure may name its own colours. Those of the light look, black, and a diverging scale through white get
  // counterparts on a dark background.
  function onDark(colour) {
    const place = looks.light.colorway.findIndex((light) => light.toLowerCase() === String(colour).toLowerCase());
    if (place >= 0) return looks.dark.colorway[place];
    return ["#000000", "black", "#000"].includes(colour) ? "#e8e8e8" : colour;
  }

  const coloured = ["line.color", "marker.color", "fillcolor", "colorscale"];
  const read = (trace, path) => path.split(".").reduce((node, key) => node?.[key], trace);

  // Restyling that suits the traces to the look; `data` are the traces with the figure's own colours.
  function traceColours(data) {
    const update = {};
    for (const path of coloured) {
      const values = data.map((trace) => read(trace, path));
      if (values.every((value) => value === undefined)) continue;
      update[path] = values.map((value) => {
        if (!isDark()) return value;
        if (path !== "colorscale") return typeof value === "string" ? onDark(value) : value;
        return scale(value);
      });
    }
    return update;
  }

  // A diverging scale through white goes through black on a dark background.
  function scale(stops) {
    const throughWhite = Array.isArray(stops) && stops.some((stop) => stop[1] === "rgb(247,247,247)");
    return throughWhite && isDark() ? looks.dark.diverging : stops;
  }

  // Changes that suit the layout to the look; `named` is the figure's original layout.
  function layoutColours(named) {
    const stops = named.coloraxis?.colorscale;
    const drawn = ({ line, ...shape }) => ({ ...shape, line: { ...line, color: isDark() ? onDark(line?.color) : line?.color } });
    return {
      template: template(named.template),
      ...(stops && { "coloraxis.colorscale": scale(stops) }),
      ...(named.shapes && { shapes: named.shapes.map(drawn) }),
    };
  }

  const letterHeight = 13; // pixels, for text without its own size
  const margins = { l: 60, r: 24, t: 40, b: 50 }; // pixels, for figures without their own

  function template(own = {}) {
    const look = looks[isDark() ? "dark" : "light"];
    const style = getComputedStyle(document.body);
    const axis = { gridcolor: look.grid, zerolinecolor: look.grid, linecolor: look.grid, automargin: true };
    const bar = [{ error_x: { color: style.color }, error_y: { color: style.color } }];
    const heat = [{ colorscale: look.diverging, colorbar: { outlinewidth: 0, thickness: 14 } }];
    return {
      data: {
        bar, heatmap: heat, ...own.data,
      },
      layout: {
        margin: margins, hoverlabel: { align: "left", namelength: -1 },
        legend: { orientation: "h", x: 0, yref: "container", y: 1, yanchor: "top" },
        ...own.layout,
        colorway: look.colorway, colorscale: { diverging: look.diverging },
        font: { family: style.fontFamily, color: style.color, size: letterHeight },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: { ...own.layout?.xaxis, ...axis }, yaxis: { ...own.layout?.yaxis, ...axis },
      },
    };
  }

  const narrow = 520; // pixels
  const letter = 7; // approximate pixels of a title's letter

  // Break a text into lines of at most this many letters; existing breaks stay.
  function lines(text, letters) {
    return String(text).split("<br>").flatMap((line) => line.split(" ").reduce((done, word) => {
      const last = done.length - 1;
      if (last >= 0 && done[last].length + word.length < letters) done[last] += ` ${word}`;
      else done.push(word);
      return done;
    }, [])).join("<br>");
  }

  const countLines = (text) => String(text ?? "").split("<br>").length;
  const isAxis = (key) => /^[xy]axis\d*$/.test(key);
  const isRows = ({ y }) => Array.isArray(y) && typeof y[0] === "string"; // labels down the side

  // Long row labels break into lines, so that the rows keep their share of the width.
  function breakLabels(width, data, layout) {
    const letters = width < narrow ? 22 : Math.round(width / 14);
    const broken = (label) => lines(String(label).replaceAll("<br>", " "), letters);
    const rows = new Set(); // of all panels
    for (const trace of data.filter(isRows)) {
      trace.y = trace.y.map(broken);
      trace.y.forEach((label) => rows.add(label));
    }
    if (!rows.size) return;
    for (const [key, axis] of Object.entries(layout)) { // labels define the order of the rows
      if (/^yaxis\d*$/.test(key) && axis.categoryarray) axis.categoryarray = axis.categoryarray.map(broken);
    }
    layout.height = Math.max(layout.height ?? 0, 100 + heightOf(rows));
  }

  // Pixels of rows one below the other: all get the height that the longest label needs.
  const heightOf = (rows) => rows.size * (10 + 13 * Math.max(...[...rows].map(countLines)));

  // A figure's panels in reading order, each with its axes, its traces and the title above it.
  function panelsOf(data, layout) {
    const names = Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key));
    return names.flatMap((name, i) => {
      const short = name.replace("axis", "");
      const traces = data.filter(({ xaxis = "x" }) => xaxis === short);
      const [x, y] = [layout[name], (layout[name.replace("x", "y")] ??= {})];
      if (!traces.length) x.visible = y.visible = false; // an empty panel of the grid
      return traces.length ? [{ x, y, traces, title: layout.annotations?.[i] }] : [];
    });
  }

  // Panels side by side share tick labels; one below the other, each gets its own. An axis title they share goes below
  // the last.
  function shareMarks(panels) {
    for (const side of ["x", "y"]) {
      if (panels.some((panel) => panel[side].showticklabels !== false)) {
        panels.forEach((panel) => { panel[side].showticklabels = true; });
      }
    }
    const names = new Set(panels.map(({ x }) => x.title?.text).filter(Boolean));
    if (names.size !== 1) return;
    panels.forEach(({ x }, i) => { x.title = { ...x.title, text: i === panels.length - 1 ? [...names][0] : "" }; });
  }

  // On a phone: pixels of a panel, and of what is above and below it.
  function measure({ x, y, traces, title }, width) {
    const pictures = traces[0].type === "image";
    const rows = new Set(traces.filter(isRows).flatMap((trace) => trace.y));
    const side = rows.size ? 6 * Math.max(...[...rows].flatMap((label) => label.split("<br>")).map((line) => line.length)) : 40;
    if (rows.size) y.tickfont = { ...y.tickfont, size: 10.5 };
    for (const [{ title: name }, room] of [[x, width - side - 10], [y, 210]]) {
      if (name?.text) Object.assign(name, { text: lines(name.text, room / letter), font: { ...name.font, size: 13 } });
    }
    if (title) {
      title.text = lines(title.text, (width - 10) / (pictures ? 6 : letter));
      title.font = { ...title.font, size: pictures ? 11 : 13 };
    }
    const square = Boolean(y.scaleanchor || x.scaleanchor) || pictures;
    const below = pictures ? 4 : 24 * (x.showticklabels !== false) + (x.title?.text ? 16 + 17 * countLines(x.title.text) : 0);
    return {
      above: title ? 10 + 17 * countLines(title.text) : 8,
      high: rows.size ? heightOf(rows) : square ? width - side : 210,
      below: below + 8,
    };
  }

  // Stack panels below one another, pictures two by two. Titles are inside the area of the axes; the legend above makes
  // room for itself.
  function stackPanels(plot, data, layout) {
    const panels = panelsOf(data, layout);
    if (panels.length < 2) return false;
    const columns = data.every(({ type }) => type === "image") ? 2 : 1;
    const isMatrix = ({ traces }) => traces.some(({ type }) => type === "heatmap");
    if (columns === 1) [true, false].forEach((kind) => shareMarks(panels.filter((panel) => isMatrix(panel) === kind)));
    const margin = { l: columns === 2 ? 8 : 48, r: 12, t: 8, b: 10 };
    const width = (plot.clientWidth - margin.l - margin.r) / columns;
    const sizes = panels.map((panel) => measure(panel, width));
    const rows = Array.from({ length: Math.ceil(panels.length / columns) }, (_, i) => {
      const those = sizes.slice(i * columns, (i + 1) * columns);
      return Object.fromEntries(["above", "high", "below"].map((key) => [key, Math.max(...those.map((one) => one[key]))]));
    });
    const whole = rows.reduce((sum, { above, high, below }) => sum + above + high + below, 0);
    let top = whole; // pixels above the bottom of the area
    rows.forEach(({ above, high, below }, row) => {
      top -= above;
      panels.slice(row * columns, (row + 1) * columns).forEach(({ x, y, title }, column) => {
        const [left, right] = [column / columns, (column + (columns === 1 ? 1 : 0.97)) / columns];
        x.domain = [left, right];
        y.domain = [(top - high) / whole, top / whole];
        if (title) Object.assign(title, { x: (left + right) / 2, y: top / whole });
      });
      top -= high + below;
    });
    layout.margin = margin;
    layout.height = whole + 30 + 24 * legendLines(plot, data) + (layout.coloraxis ? 60 : 0);
    return true;
  }

  // Approximate number of lines of the legend above the panels.
  function legendLines(plot, data) {
    const names = new Set(data.filter(({ showlegend }) => showlegend !== false).map(({ name = "" }) => name));
    const long = Math.max(0, ...Array.from(names, (name) => name.length));
    return Math.ceil(names.size / Math.max(1, Math.floor((plot.clientWidth - 60) / (letter * long + 45))));
  }

  // On a phone, colour scales go below the panels.
  function layScales(data, layout) {
    const bar = { orientation: "h", yref: "container", y: 0, yanchor: "bottom", thickness: 10, len: 1 };
    for (const trace of data.filter(({ type }) => type === "heatmap")) trace.colorbar = { ...trace.colorbar, ...bar };
    if (layout.coloraxis) layout.coloraxis.colorbar = { ...layout.coloraxis.colorbar, ...bar };
  }

  function fitNarrow(plot, data, layout) {
    layScales(data, layout);
    if (stackPanels(plot, data, layout)) return;
    const width = plot.clientWidth;
    for (const panel of panelsOf(data, layout)) measure(panel, width - 60);
    if (layout.yaxis?.scaleanchor) layout.height = Math.min(layout.height ?? Infinity, width + 110); // a square
    layout.margin = { ...layout.margin, l: 48, r: 12 };
  }

  // If labels need more room than the margins have, plotly makes room and draws everything again. So leave room for row
  // labels, and a few pixels for the legend above, beforehand.
  function leaveRoom(data, layout) {
    const rows = data.filter(isRows).flatMap(({ y }) => y).flatMap((label) => label.split("<br>"));
    if (!rows.length) return;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${layout.yaxis?.tickfont?.size ?? letterHeight}px ${getComputedStyle(document.body).fontFamily}`;
    const widest = Math.max(...rows.map((row) => pen.measureText(row).width));
    const gap = 14; // pixels from the edge to the labels, and from them to the axis
    const { l, t } = { ...margins, ...layout.margin };
    layout.margin = { ...layout.margin, l: Math.max(l, Math.ceil(widest) + gap), t: t + 4 };
  }

  // A swipe that starts on a figure scrolls the page; a tap shows the values at that place.
  function fitTouch(data, layout) {
    const pictures = data.every(({ type }) => type === "image");
    const lines = data.every(({ type = "scatter", mode = "lines" }) => type === "scatter" && mode.includes("lines"));
    const touched = matchMedia("(pointer: coarse)").matches;
    if (touched || pictures) layout.dragmode = false;
    if (touched && lines) layout.hovermode ??= "x unified";
  }

  // Before drawing, fit a figure's layout to the width and the pointer at hand.
  function fit(plot, data, layout) {
    fitTouch(data, layout);
    for (const [key, axis] of Object.entries(layout)) { // ticks without labels are noise
      if (isAxis(key) && axis.showticklabels === false) axis.ticks = "";
    }
    if (!layout.title?.text && !layout.annotations) layout.margin = { ...layout.margin, t: 24 }; // where menus were
    breakLabels(plot.clientWidth, data, layout);
    if (plot.clientWidth < narrow) fitNarrow(plot, data, layout);
    else leaveRoom(data, layout);
    if (layout.height) plot.style.minHeight = `${layout.height}px`;
  }

  return { isDark, traceColours, layoutColours, template, fit };
})();
