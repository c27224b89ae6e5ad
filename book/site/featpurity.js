// Draws the book's figures from files beside the page: no network, no kernel, from http and from file://.
//
// A page holds <figure class="featpurity-figure" data-figure="NAME"> elements. When one scrolls near the screen,
// figures/NAME.js is run; it calls featpurity.figure(NAME, {data, layout, frames, later}), and plotly draws. Large arrays
// of hidden traces come later, each by a file of its own, when a menu shows the trace. Menus and sliders of the layout
// become plain HTML controls, which the keyboard reaches and a thumb can hit.
(() => {
  "use strict";
  const { isDark, traceColours, template, fitWidth } = featpurityLooks;
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

  // ---- controls ----

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const queues = new WeakMap(); // plot -> promise of its last change, so that changes come in the order of the clicks

  function press(plot, { method = "restyle", args = [] }, later) {
    if (method === "skip") return;
    const change = (queues.get(plot) ?? Promise.resolve()).then(async () => {
      const shown = args[0]?.visible ?? [];
      for (const [i, visible] of [].concat(shown).entries()) {
        if (visible === true) await complete(plot, later, args[1]?.[i] ?? i);
      }
      return Plotly[method](plot, ...structuredClone(args));
    });
    queues.set(plot, change.catch(console.error));
  }

  async function complete(plot, later, index) {
    const missing = later[index] ?? {};
    delete later[index];
    for (const [key, name] of Object.entries(missing)) plot.data[index][key] = await unpack(await fetchFigure(name));
  }

  function menu(plot, later, { buttons = [], active = 0, type = "dropdown", name = "Show" }) {
    const shown = buttons.filter((button) => button.visible !== false);
    if (type === "buttons") {
      const keys = shown.map((button) => element("button", { type: "button" }, button.label ?? ""));
      keys.forEach((key, i) => key.addEventListener("click", () => press(plot, shown[i], later)));
      return element("span", { role: "group", "aria-label": name }, name + " ", ...keys);
    }
    const select = element("select", {}, ...shown.map((button) => element("option", {}, button.label ?? "")));
    select.selectedIndex = Math.max(active, 0);
    select.addEventListener("change", () => press(plot, shown[select.selectedIndex], later));
    return element("label", {}, name + " ", select);
  }

  function slider(plot, later, { steps = [], active = 0, currentvalue = {}, name = "" }) {
    const label = (currentvalue.prefix ?? name ?? "").trim() || "Step";
    const range = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: active });
    const output = element("output", {});
    const show = () => {
      output.value = steps[range.value].label ?? range.value;
      range.setAttribute("aria-valuetext", output.value);
    };
    range.addEventListener("input", () => { show(); press(plot, steps[range.value], later); });
    show();
    return element("label", {}, label + " ", range, output);
  }

  function addControls(plot, later, layout) {
    const made = [
      ...(layout.updatemenus ?? []).filter((entry) => entry.visible !== false).map((entry) => menu(plot, later, entry)),
      ...(layout.sliders ?? []).filter((entry) => entry.steps?.length).map((entry) => slider(plot, later, entry)),
    ];
    delete layout.updatemenus;
    delete layout.sliders;
    if (made.length) plot.before(element("div", { class: "controls" }, ...made));
  }

  // ---- drawing ----

  async function draw(host) {
    const plot = host.querySelector(".plot");
    try {
      const [figure] = await Promise.all([fetchFigure(host.dataset.figure), script("plotly.min.js")]);
      await unpackAll(figure);
      const { data, layout, frames, later } = figure;
      const own = layout.template;
      addControls(plot, later, layout);
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
    // Paper does not scroll: draw what is left.
    window.addEventListener("beforeprint", () => hosts.forEach((host) => {
      if (!host.dataset.state) { watcher.unobserve(host); draw(host); }
    }));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
