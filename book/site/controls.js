// A figure's controls: menus and sliders, a row of buttons, and arrow keys that read values and the legend.
//
// They are ordinary HTML, within reach of keyboard and thumb. A group of buttons is one stop of the Tab key; the arrow
// keys move inside it.
const featpurityControls = (() => {
  "use strict";
  const { plain, table, csv, save, saveText } = featpurityData;
  const LONGEST = 300; // rows of a figure's table; the file has all

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // Make several elements one stop of the Tab key; the arrow keys go from one to the next.
  function oneStop(group, things) {
    things.forEach((thing, i) => thing.setAttribute("tabindex", i ? -1 : 0));
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const place = things.indexOf(document.activeElement);
      if (!step || place < 0) return;
      event.preventDefault();
      event.stopPropagation();
      things[place].setAttribute("tabindex", -1);
      const next = things[(place + step + things.length) % things.length];
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  }

  // ---- menus and sliders of the layout ----

  function menu(change, { buttons = [], active = 0, type = "dropdown", name = "Show" }) {
    const shown = buttons.filter((button) => button.visible !== false);
    if (type === "buttons") {
      const keys = shown.map((button) => element("button", { type: "button" }, plain(button.label)));
      keys.forEach((key, i) => key.addEventListener("click", () => change(shown[i])));
      return { node: element("span", { role: "group", "aria-label": name }, name + " ", ...keys), reset() {} };
    }
    const select = element("select", {}, ...shown.map((button) => element("option", {}, plain(button.label))));
    select.selectedIndex = Math.max(active, 0);
    select.addEventListener("change", () => change(shown[select.selectedIndex]));
    const reset = () => {
      select.selectedIndex = Math.max(active, 0);
      change(shown[select.selectedIndex]);
    };
    return { node: element("label", {}, name + " ", select), reset };
  }

  function slider(change, { steps = [], active = 0, currentvalue = {}, name = "" }) {
    const label = (currentvalue.prefix ?? name ?? "").trim() || "Step";
    const range = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: active });
    const output = element("output", {});
    const show = () => {
      output.value = plain(steps[range.value].label ?? range.value);
      range.setAttribute("aria-valuetext", output.value);
    };
    range.addEventListener("input", () => { show(); change(steps[range.value]); });
    show();
    const reset = () => { range.value = active; show(); change(steps[active]); };
    return { node: element("label", {}, plain(label) + " ", range, output), reset };
  }

  // ---- buttons: picture, data, reset ----

  async function picture(host, format) {
    const plot = host.querySelector(".plot");
    const ground = getComputedStyle(document.body).backgroundColor;
    const figure = { data: plot.data, layout: { ...plot.layout, paper_bgcolor: ground } };
    const size = { width: plot.clientWidth, height: plot.clientHeight, scale: format === "png" ? 2 : 1 };
    save(`${host.dataset.figure}.${format}`, await Plotly.toImage(figure, { format, ...size }));
  }

  function buttons(host, first, reset) {
    const plot = host.querySelector(".plot");
    const actions = {
      PNG: ["Save this figure as a PNG picture", () => picture(host, "png")],
      SVG: ["Save this figure as an SVG picture", () => picture(host, "svg")],
      CSV: ["Save the data shown as a CSV file", () => saveText(`${host.dataset.figure}.csv`, csv(table(plot)))],
      Reset: ["Reset: as the figure was at first", reset],
    };
    if (first.pictures) delete actions.CSV;
    const made = Object.entries(actions).map(([label, [title, action]]) => {
      const button = element("button", { type: "button", title }, label);
      button.addEventListener("click", action);
      return button;
    });
    const group = element("span", { class: "buttons", role: "toolbar", "aria-label": "This figure" }, ...made);
    oneStop(group, made);
    return group;
  }

  // Removes menus and sliders from `layout`, where plotly would draw them into the picture; `first` is the original
  // figure.
  function addControls(host, change, layout, first) {
    const plot = host.querySelector(".plot");
    const chosen = [
      ...(layout.updatemenus ?? []).filter((entry) => entry.visible !== false).map((entry) => menu(change, entry)),
      ...(layout.sliders ?? []).filter((entry) => entry.steps?.length).map((entry) => slider(change, entry)),
    ];
    delete layout.updatemenus;
    delete layout.sliders;
    const reset = () => {
      const axes = Object.keys(plot.layout).filter((key) => /^[xy]axis\d*$/.test(key));
      const home = {};
      for (const key of axes) {
        const { range, title } = first.layout[key] ?? {};
        if (range) home[`${key}.range`] = range;
        else home[`${key}.autorange`] = first.layout[key]?.autorange ?? true;
        if (title?.text !== undefined) home[`${key}.title.text`] = title.text;
      }
      change({ method: "update", args: [{ visible: first.visible }, home] });
      chosen.forEach((control) => control.reset());
    };
    host.querySelector(".canvas").before(
      element("div", { class: "controls" }, ...chosen.map(({ node }) => node), buttons(host, first, reset)));
  }

  // ---- values and legend by keyboard, the data as a table ----

  // The arrow keys go through the points of a line (left, right) and from line to line (up, down), or through a matrix
  // and across its left and right edges to the next.
  function readValues(plot, say) {
    let [curve, point] = [0, [0, -1]];
    const clip = (value, length) => Math.min(Math.max(value, 0), length - 1);
    const readable = () => plot.data.map((trace, i) => ({ trace, i })).filter(({ trace }) => (
      (trace.visible ?? true) === true && trace.hoverinfo !== "skip" && trace.type !== "image"));
    const isMatrix = ({ type }) => type === "heatmap";
    const sides = (trace) => (
      isMatrix(trace) ? [trace.z.length, trace.z[0].length] : [1, Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0)]);
    const place = (values, index) => (typeof values?.[index] === "number" ? values[index] : index);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      const traces = readable();
      if (!step || !traces.length || event.target !== plot) return;
      event.preventDefault();
      curve = clip(curve, traces.length);
      const leaves = point[1] + step[1] !== clip(point[1] + step[1], sides(traces[curve].trace)[1]);
      if (!isMatrix(traces[curve].trace)) curve = clip(curve + step[0], traces.length);
      else if (leaves && step[1] && traces[curve + step[1]]) {
        curve += step[1];
        point[1] = step[1] > 0 ? -1 : sides(traces[curve].trace)[1];
      }
      const { trace, i } = traces[curve];
      point = point.map((at, side) => clip(at + step[side], sides(trace)[side]));
      const subplot = `${trace.xaxis ?? "x"}${trace.yaxis ?? "y"}`;
      const layer = plot.querySelector(".hoverlayer"); // plotly draws the label once the keys rest
      new MutationObserver((_, observer) => {
        observer.disconnect();
        const linesOf = (label) => (label.querySelector("tspan.line") ? [...label.querySelectorAll("tspan.line")] : [label]);
        say([...layer.querySelectorAll("text")].flatMap(linesOf).map((line) => line.textContent).join(", "));
      }).observe(layer, { childList: true, subtree: true });
      // plotly 4 labels a matrix cell given by its place, but not one given by its number.
      Plotly.Fx.hover(plot, isMatrix(trace) ? { xval: place(trace.x, point[1]), yval: place(trace.y, point[0]) }
        : [{ curveNumber: i, pointNumber: point[1] }], subplot);
      plot.dispatchEvent(new CustomEvent("read", { detail: { trace, point: point[1] } })); // plotly only reports the mouse
    });
    plot.addEventListener("blur", () => Plotly.Fx.unhover(plot));
  }

  function switchable(plot, say) {
    const entries = Array.from(plot.querySelectorAll(".legend .traces"));
    const group = plot.querySelector(".legend");
    if (!group || entries.length < 2) return;
    const isShown = ({ __data__: [{ trace }] }) => plot.data[trace.index].visible !== "legendonly";
    entries.forEach((entry) => entry.setAttribute("aria-checked", isShown(entry)));
    if (entries.every((entry) => entry.dataset.answers)) return;
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Lines to show or hide");
    entries.forEach((entry) => {
      const [{ trace }] = entry.__data__;
      entry.dataset.answers = true;
      entry.setAttribute("role", "switch");
      entry.setAttribute("aria-label", plain(trace.name));
      entry.addEventListener("keydown", (event) => {
        if (event.key !== " " && event.key !== "Enter") return;
        event.preventDefault();
        const [now, together] = [isShown(entry), trace.legendgroup];
        const those = plot.data.flatMap(({ legendgroup, visible }, i) => (
          i === trace.index || (together && legendgroup === together && visible !== false) ? [i] : []));
        const place = entries.indexOf(entry);
        Plotly.restyle(plot, { visible: now ? "legendonly" : true }, those).then(() => {
          plot.querySelectorAll(".legend .traces")[place]?.focus();
          say(`${plain(trace.name)}: ${now ? "hidden" : "shown"}`);
        });
      });
    });
    oneStop(group, entries);
  }

  function dataTable(plot) {
    const { columns, rows } = table(plot);
    const head = element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)));
    const body = rows.slice(0, LONGEST).map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
    const made = element("table", { class: "dataframe" }, element("thead", {}, head), element("tbody", {}, ...body));
    const note = rows.length > LONGEST ? `The first ${LONGEST} of ${rows.length} rows; the CSV file has all.` : "";
    const frame = element("div", { class: "table-frame", tabindex: 0, role: "region", "aria-label": "The data shown" }, made);
    return rows.length ? [element("p", {}, note), frame] : [];
  }

  function addValues(host) {
    const plot = host.querySelector(".plot");
    const live = element("p", { class: "said", "aria-live": "polite" });
    const say = (text) => { live.textContent = text; };
    host.append(live);
    readValues(plot, say);
    switchable(plot, say);
    plot.on("plotly_afterplot", () => switchable(plot, say));
    const details = host.querySelector("details.in-words");
    const numbers = details.appendChild(element("div", { class: "numbers" }));
    const fill = () => { if (details.open) numbers.replaceChildren(...dataTable(plot)); };
    details.addEventListener("toggle", fill);
    plot.addEventListener("changed", () => { fill(); say("The figure has changed."); });
    fill();
  }

  return { addControls, addValues, oneStop };
})();
