(() => {
  // A page from a file has no clipboard everywhere: then the text is selected and copied the old way, or stays selected.
  async function copy(text, source) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  }
  for (const source of document.querySelectorAll("pre[data-copy]")) {
    const button = document.createElement("button"), told = document.createElement("output");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy the command of ${source.dataset.copy}`);
    button.addEventListener("click", async () => {
      const done = await copy(source.textContent, source);
      told.textContent = done ? "Copied." : "Selected: press Ctrl+C.";
    });
    const title = source.previousElementSibling;
    if (title?.classList.contains("row-command")) title.append(" ", button, told);
    else source.before(button, told);
  }
})();
