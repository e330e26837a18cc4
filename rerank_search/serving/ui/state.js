// A search in three forms: the URL, the form on the page, and the body of the request.

import { parseFilter } from "./filter.js";

const DEFAULTS = {
  q: "",
  index: "",
  first_stage: "",
  candidates: "100",
  top_k: "10",
  filter: "",
  rerank: "true",
};
const NUMBERS = ["candidates", "top_k"];

export function fromUrl(query) {
  const state = { ...DEFAULTS };
  for (const [name, value] of new URLSearchParams(query)) {
    const wrong = NUMBERS.includes(name) && !/^\d+$/.test(value);
    if (Object.hasOwn(DEFAULTS, name) && !wrong) state[name] = value;
  }
  return state;
}

/** Values equal to the defaults are left out, which keeps URLs short. */
export function toUrl(state) {
  const special = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  return `?${new URLSearchParams(special)}`;
}

export function fromForm({ elements }) {
  const read = (name) => {
    const field = elements.namedItem(name);
    return field.type === "checkbox" ? String(field.checked) : field.value;
  };
  return Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, read(name)]));
}

export function toForm(state, { elements }) {
  for (const [name, value] of Object.entries(state)) {
    const field = elements.namedItem(name);
    if (field.type === "checkbox") field.checked = value !== "false";
    else field.value = value;
  }
}

/** The body of POST /v1/search. Throws an Error for an invalid filter. */
export function toRequest(state) {
  return {
    index: state.index || null,
    query: state.q,
    first_stage: state.first_stage || null,
    candidates: Number(state.candidates),
    top_k: Number(state.top_k),
    filter: parseFilter(state.filter),
    rerank: state.rerank !== "false",
    explain: true,
    matches: true,
  };
}
