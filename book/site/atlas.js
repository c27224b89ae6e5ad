// The atlas of neurons: one neuron at a time, by its address (#neuron-17), by rank, by number, or from the map.
//
// All data are in `data-deflated` of <div class="neuron-atlas">: the classes, and a neuron for each row of the table
// inside. Without this script the table is still there, with the addresses on its rows. Words from the data are set as
// text, never as markup.
(() => {
  "use strict";
  const { tile } = featpurityThumbnails;
  const SIDE = matchMedia("(max-width: 576px)").matches ? 46 : 56; // pixels of a picture

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

  async function read(atlas) {
    const inflated = await featpurity.inflate(atlas.dataset.deflated);
    const [classes, told] = JSON.parse(await inflated.text()); // [class, data set], the pictures' classes first
    const rows = atlas.querySelectorAll("tr[id]");
    const neurons = told.map((neuron, i) => ({ address: rows[i].id, ...neuron }));
    rows.forEach((row) => row.removeAttribute("id")); // the address now opens the neuron above the table
    const models = new Map(); // model -> its neurons, the purest first
    for (const neuron of neurons) models.set(neuron.model, [...(models.get(neuron.model) ?? []), neuron]);
    return { classes, models, byAddress: new Map(neurons.map((neuron) => [neuron.address, neuron])) };
  }

  function pictures(title, places, sheet, classes) {
    const labels = sheet.dataset.labels.split(" ");
    const names = places.map((place) => classes[labels[place]][0]);
    const row = element("div", { class: "tiles", role: "img", "aria-label": `${title}: ${names.join(", ")}` });
    places.forEach((place, i) => {
      const one = tile(sheet, place, SIDE);
      one.title = names[i];
      row.append(one);
    });
    return element("div", {}, element("h4", {}, title), row);
  }

  function profile(values, classes) {
    const most = Math.max(...values.map(([, value]) => Math.abs(value)), 1e-9);
    const rows = values.map(([number, value]) => {
      const [name, dataset] = classes[number];
      const bar = element("span", { class: value < 0 ? "bar below" : "bar" });
      bar.style.width = `${(50 * Math.abs(value)) / most}%`;
      return element("tr", {},
        element("th", { scope: "row" }, name, " ", element("small", {}, dataset)),
        element("td", { class: "bars", "aria-hidden": "true" }, bar),
        element("td", { class: "number" }, signed(value, 2)));
    });
    const head = element("tr", {}, element("th", { scope: "col" }, "class"),
      element("td", {}), element("th", { scope: "col" }, "stands out by (std)"));
    return element("div", {}, element("h4", {}, "Class profile"),
      element("table", { class: "profile" }, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  function captions(texts) {
    if (!texts.length) return "";
    const lines = texts.map(([text, value]) => element("li", {}, `“${text}” `, element("small", {}, signed(value, 2))));
    return element("div", {}, element("h4", {}, "Strongest captions"), element("ol", {}, ...lines));
  }

  function neighbours({ model, nearest }, find) {
    const lines = Object.entries(nearest).map(([tower, [number, cosine]]) => {
      const near = find(model, number);
      const named = `neuron ${number}`;
      return element("li", {}, `${tower} tower: `, near ? element("a", { href: `#${near.address}` }, named) : named,
        ` (cosine ${signed(cosine, 2)})`);
    });
    return element("div", {}, element("h4", {}, "Nearest neurons"), element("ul", {}, ...lines));
  }

  async function viewer(atlas) {
    const { classes, models, byAddress } = await read(atlas);
    const find = (model, number) => models.get(model).find(({ neuron }) => neuron === number);

    const model = element("select", {}, ...Array.from(models.keys(), (name) => element("option", { value: name }, name)));
    const rank = element("input", { type: "range", min: 0, step: 1 });
    const place = element("output");
    const number = element("input", { type: "number", min: 0, step: 1 });
    const [before, after] = ["Purer", "Less pure"].map((label) => element("button", { type: "button" }, label));
    const card = element("div", { class: "card-of-neuron" });
    const said = element("p", { class: "wrong", role: "status" });
    const controls = element("div", { class: "controls" },
      element("label", {}, "Model ", model), element("label", {}, "Rank by purity ", rank, place),
      element("label", {}, "Neuron ", number), element("span", { class: "buttons" }, before, after));
    const section = element("section", { class: "one-neuron", "aria-label": "One neuron" }, controls, said, card);
    atlas.prepend(section);
    let shown = null;

    function show(neuron, { address = true } = {}) {
      shown = neuron;
      const own = models.get(neuron.model);
      model.value = neuron.model;
      rank.max = own.length - 1;
      rank.value = own.indexOf(neuron);
      rank.setAttribute("aria-valuetext", `rank ${neuron.rank} of ${neuron.of}`);
      place.value = `${neuron.rank} of ${neuron.of}`;
      number.max = neuron.of - 1;
      number.value = neuron.neuron;
      before.disabled = own.indexOf(neuron) === 0;
      after.disabled = own.indexOf(neuron) === own.length - 1;
      section.id = neuron.address;
      const sheet = document.getElementById(neuron.sheet);
      said.textContent = "";
      if (address) history.replaceState(history.state, "", `#${neuron.address}`);
      card.replaceChildren(
        element("h3", {}, `${neuron.model}, neuron ${neuron.neuron} `,
          element("a", { href: `#${neuron.address}`, "aria-label": "Address of this neuron" }, "#")),
        element("p", {}, `Its values are ${neuron.reads}. Rank ${neuron.rank} of ${neuron.of} by purity, 1 for the purest; mean |cos| with the other neurons `
          + `of both towers ${neuron.cos.toFixed(3)}. Pictures go through the image tower, captions through the text tower.`),
        element("div", { class: "columns" },
          pictures("Strongest pictures", neuron.strongest, sheet, classes),
          pictures("Weakest pictures", neuron.weakest, sheet, classes),
          profile(neuron.profile, classes),
          element("div", {}, captions(neuron.captions), neighbours(neuron, find))));
    }

    // There is no such neuron: keep the one that is shown, and put it back into the field and the address.
    function stay(why) {
      number.value = shown.neuron;
      history.replaceState(history.state, "", `#${shown.address}`);
      said.textContent = `${why}; neuron ${shown.neuron} of ${shown.model} is shown.`;
    }

    function open(address, block) {
      const neuron = byAddress.get(address);
      if (neuron) show(neuron);
      else stay(`There is no ${address.replaceAll("-", " ")} on this page`);
      section.scrollIntoView({ block });
    }

    const asked = () => decodeURIComponent(location.hash.slice(1));
    model.addEventListener("change", () => show(find(model.value, shown.neuron) ?? models.get(model.value)[0]));
    rank.addEventListener("input", () => show(models.get(model.value)[rank.value]));
    number.addEventListener("change", () => {
      const neuron = number.value === "" ? shown : find(model.value, Number(number.value));
      if (neuron) show(neuron);
      else stay(`There is no neuron ${number.value} of ${model.value} on this page`);
    });
    const step = (by) => show(models.get(model.value)[Number(rank.value) + by]);
    before.addEventListener("click", () => step(-1));
    after.addEventListener("click", () => step(1));
    window.addEventListener("hashchange", () => { if (asked().startsWith("neuron-")) open(asked(), "start"); });
    document.addEventListener("open-neuron", ({ detail }) => open(detail, "nearest"));
    atlas.querySelector("details").open = false; // a row's address opens it
    show(models.values().next().value[0], { address: false });
    if (asked().startsWith("neuron-")) open(asked(), "start");
  }

  function start() {
    document.querySelectorAll(".neuron-atlas").forEach(viewer);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
