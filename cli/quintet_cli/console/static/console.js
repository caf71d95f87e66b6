// Refreshes the panels while the page is looked at, and draws their charts.
"use strict";
(() => {
  const SECONDS = 15;
  // readable on light and dark ground alike; dashes tell series apart without colour
  const COLOURS = ["#3b82f6", "#d97706", "#10a37f", "#d946a8", "#8b5cf6", "#84920a", "#e0523f"];
  const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3]];
  const charts = new Map();

  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
  const ink = () => getComputedStyle(document.body).color;

  function draw(place) {
    const text = place.dataset.series;
    const before = charts.get(place);
    if (before && before.text === text && before.width === place.clientWidth) return;
    const { names, data } = JSON.parse(text);
    if (before) before.plot.destroy();
    const axis = { stroke: ink, grid: { stroke: "#8883" }, ticks: { stroke: "#8883" } };
    const series = names.map((label, i) => ({
      label, stroke: COLOURS[i % COLOURS.length], width: 2, dash: DASHES[i % DASHES.length],
      points: { show: true, size: 4 },
    }));
    const options = {
      width: place.clientWidth, height: 190,
      scales: { y: { range: (_, low, high) => [0, high || 1] } },
      axes: [{ ...axis, values: (_, times) => times.map(clock) }, { ...axis, size: 60 }],
      legend: { live: false }, series: [{}, ...series],
    };
    charts.set(place, { plot: new uPlot(options, data, place), text, width: place.clientWidth });
  }

  function drawAll() {
    for (const place of charts.keys()) if (!place.isConnected) charts.delete(place);
    document.querySelectorAll("[data-series]").forEach(draw);
  }

  function refresh() {
    for (const panel of document.querySelectorAll(".panel")) panel.dispatchEvent(new Event("refresh"));
  }

  document.addEventListener("htmx:after:settle", drawAll);
  addEventListener("resize", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    charts.forEach(({ plot }) => plot.redraw());
  });

  const pause = document.getElementById("pause");
  if (!pause) return;
  const paused = () => pause.getAttribute("aria-pressed") === "true";
  pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(!paused())));
  setInterval(() => {
    if (!document.hidden && !paused()) refresh();
  }, SECONDS * 1000);
})();
