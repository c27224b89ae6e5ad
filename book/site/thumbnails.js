// Small pictures from a sheet that holds each picture once, and the picture of the point under the pointer in a figure.
//
// A page holds <img class="sheet" id="sheet-..." data-columns data-rows hidden>; its file loads when one of its
// pictures is first shown. A figure whose points are pictures names the sheet in `layout.meta.sheet`, and each point's
// place on it in `customdata`. A figure whose points have addresses on the page sets `layout.meta.opens`.
const featpurityThumbnails = (() => {
  "use strict";

  // The picture at a place on a sheet, as a square element of `side` pixels.
  function tile(sheet, place, side) {
    const { columns, rows } = sheet.dataset;
    const made = document.createElement("span");
    made.className = "tile";
    Object.assign(made.style, {
      width: `${side}px`, height: `${side}px`,
      backgroundImage: `url("${sheet.src}")`,
      backgroundSize: `${columns * side}px ${rows * side}px`,
      backgroundPosition: `-${(place % columns) * side}px -${Math.floor(place / columns) * side}px`,
    });
    return made;
  }

  function showOnHover(host, plot, sheet) {
    const frame = document.createElement("div");
    frame.className = "thumbnail";
    frame.hidden = true;
    host.querySelector(".canvas").append(frame);
    const show = (place, { x0, y0, y1 }) => {
      if (!Number.isInteger(place)) return;
      frame.replaceChildren(tile(sheet, place, 72));
      frame.hidden = false;
      frame.style.left = `${Math.min(Math.max(x0 - 36, 0), plot.clientWidth - 80)}px`;
      frame.style.top = `${y0 > 110 ? y0 - 104 : y1 + 24}px`;
    };
    const corner = { x0: Infinity, y0: 0, y1: 0 }; // for the keyboard, which has no position
    plot.on("plotly_hover", ({ points: [{ customdata, bbox }] }) => show(customdata, bbox ?? corner));
    plot.addEventListener("read", ({ detail: { trace, point } }) => show(trace.customdata?.[point], corner));
    plot.on("plotly_unhover", () => { frame.hidden = true; });
    plot.addEventListener("blur", () => { frame.hidden = true; });
  }

  document.addEventListener("drawn", ({ target: host }) => {
    const plot = host.querySelector(".plot");
    const { sheet, opens } = plot.layout.meta ?? {};
    const found = sheet && document.getElementById(sheet);
    if (found) showOnHover(host, plot, found);
    if (opens) {
      plot.on("plotly_click", ({ points: [{ customdata }] }) => {
        document.dispatchEvent(new CustomEvent("open-neuron", { detail: customdata }));
      });
    }
  });

  return { tile };
})();
