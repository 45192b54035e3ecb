(() => {
  const data = JSON.parse(document.getElementById("line-data").textContent);
  const at = (id) => document.getElementById(`line-${id}`);
  const number = (id) => Number(at(id).value);
  const inputs = ["speed", "pixel", "width", "tile", "rate", "peak", "cores"];
  // Of a quotient of decimal numbers, which may lie above a whole number by a rounding error.
  const ROUNDING = 1e-9;
  const tiles = (speed, pixel, width, tile) =>
    (1000 * speed) / (tile * pixel) * Math.ceil((1000 * width) / (tile * pixel) - ROUNDING);
  const cores = (images, own) => Math.max(1, Math.ceil((images * own.threads) / own.images_per_second - ROUNDING));
  const round = (value) => String(Number(value.toPrecision(value >= 1000 ? 4 : 3)));
  data.lines.forEach((line, place) => at("preset").add(new Option(line.name, place)));
  const cells = data.rows.map((own) => {
    const line = at("rows").insertRow(), head = document.createElement("th");
    head.scope = "row";
    head.textContent = own.label;
    line.append(head);
    const needed = line.insertCell(), told = line.insertCell();
    needed.className = "n";
    return { needed, told };
  });
  function show() {
    const every = at("mode").value === "tiles";
    at("tiles").hidden = !every;
    at("candidates").hidden = every;
    const used = inputs.filter((id) => !(every ? ["rate", "peak"] : ["width", "tile"]).includes(id));
    const whole = used.every((id) => number(id) > 0 && Number.isFinite(number(id)));
    at("problem").hidden = whole;
    const images = every ? tiles(number("speed"), number("pixel"), number("width"), number("tile"))
      : number("rate") * number("peak");
    at("images").textContent = whole ? round(images) : "–";
    at("exposure").textContent = whole ? round((1000 * number("pixel")) / number("speed")) : "–";
    data.rows.forEach((own, place) => {
      const needed = cores(images, own), keeps = needed <= number("cores");
      cells[place].needed.textContent = whole ? needed : "–";
      cells[place].told.textContent = !whole ? "–" : keeps ? "yes" : "no";
    });
  }
  function choose() {
    const line = data.lines[at("preset").value];
    for (const id of ["speed", "pixel", "width"]) at(id).value = line[id];
    at("source").textContent = line.source;
    show();
  }
  for (const id of ["tile", "rate", "peak", "cores"]) at(id).value = data[id];
  at("preset").addEventListener("change", choose);
  at("mode").addEventListener("change", show);
  for (const id of inputs) at(id).addEventListener("input", show);
  choose();
  document.getElementById("line").hidden = false;
})();
