"use strict";
// A hit and its footprint light up together. Links between them work without this.
{
  const wide = matchMedia("(min-width: 1000px)");
  let lit = null;

  const light = (target) => {
    const part = target instanceof Element ? target.closest("[data-hit]") : null;
    const rank = part === null ? null : part.dataset.hit;
    if (rank === lit) return;
    for (const one of document.querySelectorAll(".lit")) one.classList.remove("lit");
    lit = rank;
    if (rank === null) return;
    for (const one of document.querySelectorAll(`[data-hit="${rank}"]`)) one.classList.add("lit");
    // Beside the cards the maps scroll by themselves: bring the right one into sight.
    const place = document.getElementById(`place-${rank}`);
    if (wide.matches && place !== null && part.tagName === "LI") {
      const maps = place.closest(".maps");
      const map = place.closest("figure");
      if (map.offsetTop < maps.scrollTop || map.offsetTop + map.offsetHeight > maps.scrollTop + maps.clientHeight) {
        maps.scrollTop = map.offsetTop - 8;
      }
    }
  };

  document.addEventListener("pointerover", (event) => light(event.target));
  document.addEventListener("focusin", (event) => light(event.target));
}
