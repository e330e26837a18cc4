// Lines from each document's place in the first stage to its place after reranking.

import { drawn } from "./dom.js";

const STUB = 44;

/** An SVG with the lines between the two lists; it is drawn again when their size changes. */
export function movementLines(lists, before, after) {
  const svg = drawn("svg", { class: "lines", "aria-hidden": "true" });
  const draw = () => svg.replaceChildren(...lines(svg, before, after));
  new ResizeObserver(draw).observe(lists);
  for (const name of ["pointerover", "focusin"]) lists.addEventListener(name, trace);
  for (const name of ["pointerleave", "focusout"]) lists.addEventListener(name, untrace);
  return svg;
}

function lines(svg, before, after) {
  const { top, width } = svg.getBoundingClientRect();
  if (!width) return []; // the lists are below each other, and text says what moved
  const from = places(before, top);
  const to = places(after, top);
  const arrived = [...to].map(([id, place]) =>
    from.has(id) ? line(id, width, from.get(id), place) : arriving(id, width, place.y),
  );
  const gone = [...from].filter(([id]) => !to.has(id));
  return [...gone.map(([id, place]) => leaving(id, width, place.y)), ...arrived];
}

/** The rank of each document in a list, and its vertical position on the screen. */
function places(items, top) {
  const measured = items.map((item, rank) => {
    const box = item.querySelector(".place").getBoundingClientRect();
    return [item.dataset.id, { rank, y: box.top + box.height / 2 - top }];
  });
  return new Map(measured);
}

function line(id, width, from, to) {
  const kind = from.rank === to.rank ? "same" : to.rank < from.rank ? "up" : "down";
  const half = width / 2;
  const path = `M0 ${from.y}C${half} ${from.y} ${half} ${to.y} ${width} ${to.y}`;
  return group(id, kind, path, [0, from.y], [width, to.y]);
}

/** A line for a document that is not in the visible part of the first list. */
function arriving(id, width, y) {
  const path = `M${width / 2} ${y + STUB}Q${width / 2} ${y} ${width} ${y}`;
  return group(id, "up stub", path, [width, y]);
}

/** A line for a document that is not in the visible part of the second list. */
function leaving(id, width, y) {
  const path = `M0 ${y}Q${width / 2} ${y} ${width / 2} ${y + STUB}`;
  return group(id, "down stub", path, [0, y]);
}

function group(id, kind, path, ...ends) {
  const dots = ends.map(([cx, cy]) => drawn("circle", { cx, cy, r: 3 }));
  return drawn("g", { class: kind, "data-id": id }, drawn("path", { d: path }), ...dots);
}

// Highlight the document under the pointer or with the focus in both lists.

function trace({ currentTarget: lists, target }) {
  const id = target.closest("[data-id]")?.dataset.id;
  if (id === undefined) return;
  lists.classList.add("tracing");
  for (const each of lists.querySelectorAll("[data-id]")) {
    each.classList.toggle("traced", each.dataset.id === id);
  }
}

function untrace({ currentTarget: lists }) {
  lists.classList.remove("tracing");
}
