// Draws the book's figures from files beside the page: no network, no kernel, from http and from file://.
//
// A page holds <figure class="featpurity-figure" data-figure="NAME"> elements. When one scrolls near the screen,
// figures/NAME.js runs and calls featpurity.figure(NAME, {data, layout, frames, later}), and plotly draws it. Long
// values of hidden traces load later, when a menu shows them; traces shown together share a file.
(() => {
  "use strict";
  const { isDark, traceColours, layoutColours, template, fit } = featpurityLooks;
  const { addControls, addValues } = featpurityControls;
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const root = document.documentElement;
  const arrived = new Map(); // NAME -> the function that takes the figure
  const scripts = new Map(); // file -> promise, so that each file is loaded once
  // plotly's own toolbar covers the legend and offers to upload the chart; the page has its own buttons.
  const config = { displayModeBar: false, showSendToCloud: false, displaylogo: false, responsive: true };

  window.featpurity = { figure: (name, figure) => arrived.get(name)(figure), inflate };

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

  async function fetchFigure(name) {
    const figure = await new Promise((resolve, reject) => {
      arrived.set(name, resolve);
      script(`figures/${name}.js`).catch(reject);
    });
    return figure.deflated ? JSON.parse(await (await inflate(figure.deflated)).text()) : figure;
  }

  // ---- packed arrays: the inverse of workflow/book_figures.py ----

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")));
  }

  async function unpack({ packed, shape, symmetric, scale, offset }) {
    const planes = new Uint8Array(await (await inflate(packed)).arrayBuffer());
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

  const DTYPES = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array,
    i1: Int8Array, u1: Uint8Array };

  // Undo plotly's own packing of short arrays, so that the page's tables can read what is drawn.
  function unpackShort({ bdata, dtype, shape }) {
    const bytes = Uint8Array.from(atob(bdata), (letter) => letter.charCodeAt(0));
    const values = new DTYPES[dtype](bytes.buffer);
    const [rows, columns, ...deeper] = String(shape ?? values.length).split(",").map(Number);
    if (deeper.length) return { bdata, dtype, shape }; // a picture's colours
    if (!columns) return Array.from(values);
    return Array.from({ length: rows }, (_, row) => Array.from(values.subarray(row * columns, (row + 1) * columns)));
  }

  async function unpackAll(node) {
    if (node === null || typeof node !== "object") return node;
    if (typeof node.packed === "string") return unpack(node);
    if (typeof node.bdata === "string") return unpackShort(node);
    for (const key of Object.keys(node)) node[key] = await unpackAll(node[key]);
    return node;
  }

  // ---- changes ----

  const queues = new WeakMap(); // plot -> promise of its last change: changes follow the order of clicks

  function changer(plot, later) {
    async function complete(index) {
      if (!later[index]) return;
      for (const [i, values] of Object.entries(await unpackAll(await fetchFigure(later[index])))) {
        Object.assign(plot.data[i], values);
        delete later[i];
      }
    }
    return ({ method = "restyle", args = [] }) => {
      if (method === "skip") return;
      const change = (queues.get(plot) ?? Promise.resolve()).then(async () => {
        for (const [i, visible] of [].concat(args[0]?.visible ?? []).entries()) {
          if (visible === true) await complete(args[1]?.[i] ?? i);
        }
        await Plotly[method](plot, ...structuredClone(args));
        plot.dispatchEvent(new Event("changed"));
      });
      queues.set(plot, change.catch(console.error));
    };
  }

  // ---- drawing ----

  async function draw(host) {
    const plot = host.querySelector(".plot");
    try {
      const [figure] = await Promise.all([fetchFigure(host.dataset.figure), script("plotly.min.js")]);
      await unpackAll(figure);
      const { data, layout, frames, later } = figure;
      const pictures = data.every(({ type }) => type === "image");
      const first = structuredClone({ visible: data.map(({ visible = true }) => visible), layout, pictures });
      addControls(host, changer(plot, later), layout, first);
      fit(plot, data, layout);
      const named = data.map(({ line, marker, fillcolor, colorscale }) => structuredClone({ line, marker, fillcolor, colorscale }));
      await Plotly.newPlot(plot, data, { ...layout, template: template(layout.template) }, config);
      if (frames.length) await Plotly.addFrames(plot, frames);
      const dress = () => Plotly.update(plot, traceColours(named), layoutColours(first.layout));
      if (isDark()) await dress();
      new MutationObserver(dress).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
      addValues(host);
      host.dataset.state = "drawn";
      host.dispatchEvent(new Event("drawn", { bubbles: true }));
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
    // Paper does not scroll: draw the remaining figures that have no picture to print.
    window.addEventListener("beforeprint", () => hosts.forEach((host) => {
      if (!host.dataset.state && !host.querySelector("img.still")) { watcher.unobserve(host); draw(host); }
    }));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
