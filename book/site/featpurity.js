// Draws the book's figures from files beside the page: no network, no kernel, from http and from file://.
//
// A page holds <figure class="featpurity-figure" data-figure="NAME"> elements. When one scrolls near the screen,
// figures/NAME.js is run; it calls featpurity.figure(NAME, {data, layout, frames}), and plotly draws. Menus and sliders
// of the layout become plain HTML controls, which the keyboard reaches and a thumb can hit.
(() => {
  "use strict";
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const root = document.documentElement;
  const arrived = new Map(); // NAME -> the function that takes the figure
  const scripts = new Map(); // file -> promise, so that each file is loaded once

  window.featpurity = { figure: (name, figure) => arrived.get(name)(figure) };

  function script(file) {
    if (!scripts.has(file)) {
      scripts.set(file, new Promise((resolve, reject) => {
        const tag = document.createElement("script");
        tag.src = here + file;
        tag.onload = resolve;
        tag.onerror = () => reject(new Error(`${file} could not be loaded`));
        document.head.append(tag);
      }));
    }
    return scripts.get(file);
  }

  function fetchFigure(name) {
    return new Promise((resolve, reject) => {
      arrived.set(name, resolve);
      script(`figures/${name}.js`).catch(reject);
    });
  }

  // ---- packed arrays: the inverse of workflow/book_figures.py ----

  async function unpack({ packed, shape, symmetric, scale, offset }) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const n = planes.length / 2; // all high bytes, then all low bytes
    const values = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const whole = ((planes[i] << 24) >> 16) | planes[n + i];
      values[i] = whole === -32768 ? NaN : offset + scale * whole;
    }
    if (shape.length === 1) return values;
    const [rows, columns] = shape;
    const matrix = Array.from({ length: rows }, () => new Float32Array(columns));
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = symmetric ? row : 0; column < columns; column++, i++) {
        matrix[row][column] = values[i];
        if (symmetric) matrix[column][row] = values[i];
      }
    }
    return matrix;
  }

  async function unpackAll(node) {
    if (node === null || typeof node !== "object") return node;
    if (typeof node.packed === "string") return unpack(node);
    for (const key of Object.keys(node)) node[key] = await unpackAll(node[key]);
    return node;
  }

  // ---- the two looks: colours that colour-blind readers can tell apart (Okabe and Ito), on light and on dark ----

  const looks = {
    light: {
      colorway: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#7F7F7F"],
      diverging: [[0, "#00518a"], [0.25, "#7fb2d8"], [0.5, "#fbfbfb"], [0.75, "#eca472"], [1, "#a83d00"]],
      grid: "#dfe3e8", panel: "#f1f4f7",
    },
    dark: {
      colorway: ["#56B4E9", "#FF8F45", "#2CC298", "#E79BC6", "#A9CBFF", "#F2BC3D", "#F7EF7A", "#B8B8B8"],
      diverging: [[0, "#9fd3ff"], [0.25, "#2f76ad"], [0.5, "#16191d"], [0.75, "#b3571a"], [1, "#ffc296"]],
      grid: "#3a4048", panel: "#23282e",
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
        table: [{ header: { fill: { color: look.panel }, line: { color: look.grid } },
                  cells: { fill: { color: "rgba(0,0,0,0)" }, line: { color: look.grid } } }],
      },
      layout: {
        margin: { l: 60, r: 24, t: 40, b: 50 }, hoverlabel: { align: "left" },
        legend: { orientation: "h", x: 0, yref: "container", y: 1, yanchor: "top" },
        ...own.layout,
        colorway: look.colorway, colorscale: { diverging: look.diverging },
        font: { family: style.fontFamily, color: style.color, size: 13 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: { ...own.layout?.xaxis, ...axis }, yaxis: { ...own.layout?.yaxis, ...axis },
      },
    };
  }

  // ---- controls ----

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function press(plot, { method = "restyle", args = [] }) {
    if (method !== "skip") return Plotly[method](plot, ...structuredClone(args));
  }

  function menu(plot, { buttons = [], active = 0, type = "dropdown", name = "Show" }) {
    const shown = buttons.filter((button) => button.visible !== false);
    if (type === "buttons") {
      const keys = shown.map((button) => element("button", { type: "button" }, button.label ?? ""));
      keys.forEach((key, i) => key.addEventListener("click", () => press(plot, shown[i])));
      return element("span", { role: "group", "aria-label": name }, name + " ", ...keys);
    }
    const select = element("select", {}, ...shown.map((button) => element("option", {}, button.label ?? "")));
    select.selectedIndex = Math.max(active, 0);
    select.addEventListener("change", () => press(plot, shown[select.selectedIndex]));
    return element("label", {}, name + " ", select);
  }

  function slider(plot, { steps = [], active = 0, currentvalue = {}, name = "" }) {
    const label = (currentvalue.prefix ?? name ?? "").trim() || "Step";
    const range = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: active });
    const output = element("output", {});
    const show = () => {
      output.value = steps[range.value].label ?? range.value;
      range.setAttribute("aria-valuetext", output.value);
    };
    range.addEventListener("input", () => { show(); press(plot, steps[range.value]); });
    show();
    return element("label", {}, label + " ", range, output);
  }

  function addControls(host, plot, layout) {
    const made = [
      ...(layout.updatemenus ?? []).filter((entry) => entry.visible !== false).map((entry) => menu(plot, entry)),
      ...(layout.sliders ?? []).filter((entry) => entry.steps?.length).map((entry) => slider(plot, entry)),
    ];
    delete layout.updatemenus;
    delete layout.sliders;
    if (made.length) plot.before(element("div", { class: "controls" }, ...made));
  }

  // ---- drawing ----

  const narrow = 520; // pixels

  // Long row labels break into lines, so that the rows keep their share of the width.
  function breakLabels(width, data, layout) {
    const letters = Math.max(14, Math.round(width / 18));
    const lines = (label) => String(label).split(" ").reduce((done, word) => {
      const last = done.length - 1;
      if (last >= 0 && done[last].length + word.length < letters) done[last] += ` ${word}`;
      else done.push(word);
      return done;
    }, []);
    for (const trace of data.filter(({ type, y }) => type !== "table" && Array.isArray(y) && typeof y[0] === "string")) {
      trace.y = trace.y.map((label) => lines(label).join("<br>"));
      const rows = trace.y.reduce((sum, label) => sum + 0.7 + label.split("<br>").length, 0);
      layout.height = Math.max(layout.height ?? 0, Math.round(100 + 18 * rows));
    }
  }

  // Panels side by side go below one another, pictures two by two.
  function stackPanels(data, layout) {
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
    layout.margin = { ...layout.margin, t: 70, b: 55 };
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

  function fitWidth(plot, data, layout) {
    const width = plot.clientWidth;
    if (!layout.title?.text && !layout.annotations) layout.margin = { ...layout.margin, t: 24 }; // where menus were
    breakLabels(width, data, layout);
    if (width < narrow) {
      for (const trace of data.filter(({ type }) => type === "heatmap")) {
        trace.colorbar = { ...trace.colorbar, orientation: "h", y: -0.2, yanchor: "top", thickness: 10 };
      }
      if (layout.yaxis?.scaleanchor) layout.height = Math.min(layout.height ?? Infinity, width + 110); // a square
      stackPanels(data, layout);
      layout.margin = { ...layout.margin, l: 48, r: 12 };
    }
    if (layout.height) plot.style.minHeight = `${layout.height}px`;
  }

  async function draw(host) {
    const plot = host.querySelector(".plot");
    try {
      const [figure] = await Promise.all([fetchFigure(host.dataset.figure), script("plotly.min.js")]);
      await unpackAll(figure);
      const { data, layout, frames } = figure;
      const own = layout.template;
      addControls(host, plot, layout);
      fitWidth(plot, data, layout);
      const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
      const named = data.map(({ line, marker, fillcolor, colorscale }) => structuredClone({ line, marker, fillcolor, colorscale }));
      await Plotly.newPlot(plot, data, { ...layout, template: template(own) }, config);
      if (frames.length) await Plotly.addFrames(plot, frames);
      const dress = () => Plotly.update(plot, traceColours(named), { template: template(own) });
      if (isDark()) await dress();
      new MutationObserver(dress).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
      host.dataset.state = "drawn";
    } catch (error) {
      host.dataset.state = "failed";
      plot.textContent = `This figure could not be drawn: ${error.message}`;
      console.error(error);
    }
  }

  function start() {
    const hosts = document.querySelectorAll("figure.featpurity-figure");
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries.filter(({ isIntersecting }) => isIntersecting)) {
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "400px" });
    hosts.forEach((host) => watcher.observe(host));
    // A page in a details element or a print preview never scrolls: draw what is left.
    window.addEventListener("beforeprint", () => hosts.forEach((host) => {
      if (!host.dataset.state) { watcher.unobserve(host); draw(host); }
    }));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
