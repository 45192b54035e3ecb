(() => {
  const { classes, images } = JSON.parse(document.getElementById("map-data").textContent);
  const dialog = document.getElementById("map-image");
  function words(point) {
    const [path, label] = images[point.dataset.i], answer = point.dataset.p;
    const verdict = answer === undefined ? "named right" : `taken for ${classes[answer]}`;
    return `${path}: ${classes[label]}, ${verdict}${point.dataset.r ? "; shares pixels or a group" : ""}`;
  }
  function open(point) {
    const shown = images[point.dataset.i][2], thumb = document.createElement("span");
    thumb.className = shown ? `thumb ${shown}` : "thumb nothumb";
    if (!shown) thumb.textContent = "no picture";
    document.getElementById("map-text").textContent = words(point);
    document.getElementById("map-thumb").replaceChildren(thumb);
    dialog.showPopover();
  }
  for (const figure of document.querySelectorAll(".map")) {
    const map = figure.querySelector("svg"), told = figure.querySelector(".map-told");
    // Marked points come first for the arrow keys, as they lie above the others and so last in the drawing.
    const points = [...map.querySelectorAll("[data-i]")].reverse();
    let at = -1;
    const tell = (place) => {
      points[at]?.classList.remove("at");
      at = place;
      points[at].classList.add("at");
      told.textContent = words(points[at]);
    };
    map.setAttribute("tabindex", "0");
    map.setAttribute("role", "application");
    map.addEventListener("pointerover", (event) => {
      if (event.target.dataset.i !== undefined) tell(points.indexOf(event.target));
    });
    map.addEventListener("click", (event) => {
      if (event.target.dataset.i !== undefined) open(event.target);
    });
    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step && points.length) tell((at + step + points.length + (at < 0 && step < 0)) % points.length);
      else if (event.key === "Enter" && at >= 0) open(points[at]);
      else return;
      event.preventDefault();
    });
  }
  document.getElementById("map-help").hidden = false;
})();
