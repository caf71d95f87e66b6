// Refreshes the panels while the page is looked at.
"use strict";
(() => {
  const SECONDS = 15;
  const pause = document.getElementById("pause");
  if (!pause) return;
  const paused = () => pause.getAttribute("aria-pressed") === "true";
  pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(!paused())));
  setInterval(() => {
    if (document.hidden || paused()) return;
    for (const panel of document.querySelectorAll(".panel")) {
      panel.dispatchEvent(new Event("refresh"));
    }
  }, SECONDS * 1000);
})();
