(() => {
  const data = JSON.parse(document.getElementById("decide-data").textContent);
  const at = (id) => document.getElementById(`decide-${id}`);
  const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 2 : 1)} %`;
  const costs = data.classes.map(() => 10);
  data.rows.forEach((row, place) => at("row").add(new Option(row.label, place)));
  const inputs = data.classes.map((name, label) => {
    const line = at("classes").insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    line.append(head);
    const share = line.insertCell();
    share.className = "n";
    const input = document.createElement("input");
    Object.assign(input, { type: "number", min: 0, step: "any", value: costs[label] });
    input.setAttribute("aria-label", name === data.none_class ? `Cost of a false alarm at ${name}` : `Cost of an escape of ${name}`);
    input.addEventListener("input", () => { costs[label] = Number(input.value) || 0; show(); });
    line.insertCell().append(input);
    return share;
  });
  const row = () => data.rows[at("row").value];
  const cost = (own, place) => (Number(at("look").value) || 0) * own.referred[place] + own.by_class.reduce(
    (sum, shares, label) => sum + (shares.length ? costs[label] * own.class_shares[label] * shares[place] : 0), 0);
  function show() {
    const own = row(), place = Number(at("threshold").value);
    at("value").textContent = own.thresholds[place];
    at("referred").textContent = percent(own.referred[place]);
    at("escaped").textContent = percent(own.escaped[place]);
    if (data.none_class) at("overkilled").textContent = own.overkilled.length ? percent(own.overkilled[place]) : "–";
    at("cost").textContent = `; 1000 images cost ${(1000 * cost(own, place)).toFixed(1)}`;
    own.by_class.forEach((shares, label) => { inputs[label].textContent = shares.length ? percent(shares[place]) : "–"; });
  }
  function choose() {
    const own = row();
    at("threshold").max = own.thresholds.length - 1;
    at("threshold").value = own.start;
    show();
  }
  at("row").addEventListener("change", choose);
  at("threshold").addEventListener("input", show);
  at("look").addEventListener("input", show);
  at("best").addEventListener("click", () => {
    const own = row(), all = own.thresholds.map((_, place) => cost(own, place));
    at("threshold").value = all.indexOf(Math.min(...all));
    show();
  });
  choose();
  document.getElementById("decide").hidden = false;
})();
