"use strict";
// Draws the charts one after the other, and lets the keys bring out one contender in all of them.
(() => {
  const source = document.getElementById("charts");
  const { shapes, charts } = source ? JSON.parse(source.textContent) : { shapes: [], charts: [] };
  const views = [];
  let focused = "";
  const font = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const text = { labelColor: "var(--muted)", titleColor: "var(--muted)", labelFont: font, titleFont: font,
    labelFontSize: 11, titleFontSize: 11, titleFontWeight: 400 };
  const config = {
    background: null, font, padding: { left: 0, right: 6, top: 6, bottom: 6 }, view: { stroke: null },
    axis: { ...text, gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)", titlePadding: 6 },
    axisY: { ...text }, legend: { ...text, labelColor: "var(--ink)", labelFontSize: 12 },
  };
  const options = { mode: "vega-lite", renderer: "svg", actions: false, config, tooltip: { theme: "polytask", disableDefaultStyle: true } };

  // Rows are stored as columns, and charts of one shape share their specification.
  function unpack({ shape, tables }) {
    const rows = (columns) => {
      const names = Object.keys(columns);
      const row = (_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]]));
      return names.length ? columns[names[0]].map(row) : [];
    };
    const datasets = Object.fromEntries(Object.entries(tables).map(([name, columns]) => [name, rows(columns)]));
    return { ...shapes[shape], datasets };
  }

  async function draw(place) {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "yes";
    try {
      const spec = unpack(charts[Number(place.dataset.chart)]);
      const { view } = await vegaEmbed(place, spec, options);
      if ((spec.params || []).some((p) => p.name === "focus")) {
        views.push(view);
        if (focused) view.signal("focus", focused).run();
      }
      place.style.minHeight = "";
    } catch (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
    }
  }

  async function drawAll(root) {
    for (const place of root.querySelectorAll(".plot")) {
      if (place.closest("details:not([open])")) continue;
      await draw(place);
    }
    document.documentElement.dataset.charts = "drawn";
  }

  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", () => details.open && drawAll(details));
  }
  for (const key of document.querySelectorAll(".key")) {
    key.addEventListener("click", () => {
      focused = focused === key.dataset.focus ? "" : key.dataset.focus;
      for (const other of document.querySelectorAll(".key")) {
        other.setAttribute("aria-pressed", String(focused !== "" && other.dataset.focus === focused));
      }
      for (const view of views) view.signal("focus", focused).run();
    });
  }
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const command = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(command.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
      }
    });
  }
  drawAll(document);
})();
