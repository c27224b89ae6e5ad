// How the book's figures look: in light and in dark, on a wide screen and on a phone. Used by figures.js.
// The colours are Okabe and Ito's, which colour-blind readers can tell apart, and lighter ones for dark ground.
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

  // A figure may name its colours. Those of the light look, black, and a diverging scale through white get their
  // counterparts on dark ground.
  function onDark(colour) {
    const place = looks.light.colorway.findIndex((light) => light.toLowerCase() === String(colour).toLowerCase());
    if (place >= 0) return looks.dark.colorway[place];
    return ["#000000", "black", "#000"].includes(colour) ? "#e8e8e8" : colour;
  }

  const coloured = ["line.color", "marker.color", "fillcolor", "colorscale"];
  const read = (trace, path) => path.split(".").reduce((node, key) => node?.[key], trace);

  // What to restyle so that the traces suit the look; `data` are the traces as the figure named them.
  function traceColours(data) {
    const update = {};
    for (const path of coloured) {
      const values = data.map((trace) => read(trace, path));
      if (values.every((value) => value === undefined)) continue;
      update[path] = values.map((value) => {
        if (!isDark()) return value;
        if (path !== "colorscale") return typeof value === "string" ? onDark(value) : value;
        return Array.isArray(value) && value.some((stop) => stop[1] === "rgb(247,247,247)") ? looks.dark.diverging : value;
      });
    }
    return update;
  }

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
        margin: { l: 60, r: 24, t: 40, b: 50 }, hoverlabel: { align: "left", namelength: -1 },
        legend: { orientation: "h", x: 0, yref: "container", y: 1, yanchor: "top" },
        ...own.layout,
        colorway: look.colorway, colorscale: { diverging: look.diverging },
        font: { family: style.fontFamily, color: style.color, size: 13 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: { ...own.layout?.xaxis, ...axis }, yaxis: { ...own.layout?.yaxis, ...axis },
      },
    };
  }

  const narrow = 520; // pixels

  // A text in lines of at most so many letters.
  function lines(text, letters) {
    return String(text).split(" ").reduce((done, word) => {
      const last = done.length - 1;
      if (last >= 0 && done[last].length + word.length < letters) done[last] += ` ${word}`;
      else done.push(word);
      return done;
    }, []).join("<br>");
  }

  // Titles of axes that are longer than their axis would be cut.
  function breakTitles(width, layout) {
    for (const [key, axis] of Object.entries(layout)) {
      const title = /^[xy]axis\d*$/.test(key) && axis.title?.text;
      if (title) axis.title.text = lines(title, Math.round((key[0] === "x" ? width - 60 : 240) / 7));
    }
  }

  // Long row labels break into lines, so that the rows keep their share of the width.
  function breakLabels(width, data, layout) {
    const letters = Math.max(14, Math.round(width / 18));
    const broken = (label) => lines(String(label).replaceAll("<br>", " "), letters);
    const rows = new Set(); // of all panels
    for (const trace of data.filter(({ y }) => Array.isArray(y) && typeof y[0] === "string")) {
      trace.y = trace.y.map(broken);
      trace.y.forEach((label) => rows.add(label));
    }
    if (!rows.size) return;
    for (const [key, axis] of Object.entries(layout)) { // the order of the rows is told by their labels
      if (/^yaxis\d*$/.test(key) && axis.categoryarray) axis.categoryarray = axis.categoryarray.map(broken);
    }
    const height = [...rows].reduce((sum, label) => sum + 0.7 + label.split("<br>").length, 0);
    layout.height = Math.max(layout.height ?? 0, Math.round(100 + 18 * height));
  }

  // About how many lines the names above the panels take.
  function legendLines(plot, data) {
    const names = new Set(data.filter(({ showlegend }) => showlegend !== false).map(({ name = "" }) => name));
    const long = Math.max(0, ...Array.from(names, (name) => name.length));
    return Math.ceil(names.size / Math.max(1, Math.floor((plot.clientWidth - 60) / (7 * long + 45))));
  }

  // Panels side by side go below one another, pictures two by two.
  function stackPanels(plot, data, layout) {
    const used = new Set(data.map(({ xaxis = "x" }) => xaxis.replace("x", "xaxis")));
    const axes = Object.keys(layout).filter((key) => used.has(key));
    if (!axes.some((key) => (layout[key].domain ?? [0])[0] > 0)) return;
    for (const key of Object.keys(layout).filter((name) => /^xaxis\d+$/.test(name) && !used.has(name))) {
      layout[key].visible = layout[key.replace("x", "y")].visible = false; // an empty panel of the grid
    }
    const columns = data.every(({ type }) => type === "image") ? 2 : 1;
    const rows = Math.ceil(axes.length / columns);
    const gap = columns === 2 ? 30 : 95; // pixels for a title and the labels of the panel above
    const panels = rows * (columns === 2 ? 170 : 220) + (rows - 1) * gap;
    layout.height = panels + 125;
    layout.margin = { ...layout.margin, t: 45 + 22 * legendLines(plot, data), b: 55 };
    const high = (1 - ((rows - 1) * gap) / panels) / rows;
    axes.forEach((key, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const [top, left] = [1 - row * (high + gap / panels), column / columns];
      const right = left + (columns === 1 ? 1 : 0.95 / columns);
      layout[key].domain = [left, right];
      layout[key.replace("x", "y")].domain = [Math.max(top - high, 0), top];
      const title = layout.annotations?.[i];
      if (title) Object.assign(title, { x: (left + right) / 2, y: top });
    });
  }

  // A swipe that starts on a figure scrolls the page, and a tap shows the values at that place.
  function fitTouch(data, layout) {
    const pictures = data.every(({ type }) => type === "image");
    const lines = data.every(({ type = "scatter", mode = "lines" }) => type === "scatter" && mode.includes("lines"));
    const touched = matchMedia("(pointer: coarse)").matches;
    if (touched || pictures) layout.dragmode = false;
    if (touched && lines) layout.hovermode ??= "x unified";
  }

  // Before a figure is drawn: its layout for the width and the pointer at hand.
  function fit(plot, data, layout) {
    fitTouch(data, layout);
    const width = plot.clientWidth;
    for (const [key, axis] of Object.entries(layout)) { // marks without labels are noise
      if (/^[xy]axis\d*$/.test(key) && axis.showticklabels === false) axis.ticks = "";
    }
    if (!layout.title?.text && !layout.annotations) layout.margin = { ...layout.margin, t: 24 }; // where menus were
    breakLabels(width, data, layout);
    if (width < narrow) {
      breakTitles(width, layout);
      for (const trace of data.filter(({ type }) => type === "heatmap")) {
        trace.colorbar = { ...trace.colorbar, orientation: "h", y: -0.2, yanchor: "top", thickness: 10 };
      }
      if (layout.yaxis?.scaleanchor) layout.height = Math.min(layout.height ?? Infinity, width + 110); // a square
      stackPanels(plot, data, layout);
      layout.margin = { ...layout.margin, l: 48, r: 12 };
    }
    if (layout.height) plot.style.minHeight = `${layout.height}px`;
  }

  return { isDark, traceColours, template, fit };
})();
