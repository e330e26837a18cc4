// Keyboard shortcuts, to move between the query field and the results.

const STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

/** Single-letter keys can be switched off, since speech input may press them by accident. */
export function listenToKeys(query, results, letters) {
  letters.checked = localStorage.getItem("letters") !== "off";
  letters.addEventListener("change", () => {
    localStorage.setItem("letters", letters.checked ? "on" : "off");
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key.length === 1 && !letters.checked) return;
    if (handled(event, query, results)) event.preventDefault();
  });
}

function handled({ key, target }, query, results) {
  if (key === "Escape") return leave(target, query, results);
  if (target === query) return key === "ArrowDown" && move(1, query, results);
  if (target.closest("input, select")) return false; // these elements use the keys themselves
  if (key === "/") return focusQuery(query);
  if (key === "Enter" && target.matches("article")) return toggle(target);
  // Outside the results, arrow keys scroll the page.
  const free = results.contains(target) || !key.startsWith("Arrow");
  return key in STEPS && free && move(STEPS[key], query, results);
}

function leave(target, query, results) {
  if (results.contains(target)) return focusQuery(query);
  target.blur();
  return true;
}

function focusQuery(query) {
  query.focus();
  query.select();
  return true;
}

function move(step, query, results) {
  const hits = [...results.querySelectorAll("article")];
  if (!hits.length) return false;
  const next = hits.findIndex((hit) => hit.contains(document.activeElement)) + step;
  if (next < 0) return focusQuery(query);
  hits[Math.min(next, hits.length - 1)].focus();
  return true;
}

function toggle(article) {
  const details = article.querySelector("details");
  details.open = !details.open;
  return true;
}
