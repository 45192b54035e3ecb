(() => {
  const value = (line, place) => line.cells[place]?.dataset.value ?? line.cells[place]?.textContent.trim() ?? "";
  const compare = (numeric) => (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  function sort(table, head, direction) {
    const place = head.cellIndex, inOrder = compare(head.dataset.sort === "number");
    for (const body of table.tBodies) {
      const lines = [...body.rows].filter((line) => !line.dataset.fixed);
      const known = lines.filter((line) => value(line, place) !== "");
      known.sort((a, b) => direction * inOrder(value(a, place), value(b, place)));
      body.append(...known, ...lines.filter((line) => value(line, place) === ""));
    }
    for (const other of table.tHead.rows[0].cells) if (other.dataset.sort) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const head of table.tHead.rows[0].cells) {
      if (!head.dataset.sort) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const first = head.dataset.first === "ascending" ? "ascending" : "descending";
        const again = { ascending: "descending", descending: "ascending" }[head.getAttribute("aria-sort")];
        sort(table, head, (again ?? first) === "ascending" ? 1 : -1);
      });
    }
  }
  // A narrow page's menu makes room for what it leads to; a wide one's stays in sight by its style.
  document.querySelector(".index").addEventListener("click", (click) => {
    if (click.target.closest("a")) click.currentTarget.querySelector("details").open = false;
  });
  const tools = document.getElementById("board-tools");
  if (!tools) return;
  const [text, tied, told] = ["text", "tied", "told"].map((name) => document.getElementById(`board-${name}`));
  const lines = [...document.querySelectorAll("#board tbody tr[data-name]")];
  function filter() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = lines.filter((line) => {
      const own = words.every((word) => line.dataset.name.toLowerCase().includes(word));
      line.hidden = !own || Boolean(tied?.checked && line.dataset.tied === undefined);
      return !line.hidden;
    });
    told.textContent = `${shown.length} of ${lines.length} rows`;
  }
  text.addEventListener("input", filter);
  tied?.addEventListener("change", filter);
  tools.hidden = false;
  filter();
})();
