// The search page. The URL holds the search, so that people can share it and go back to it.

import { listIndexes, search, useKey } from "./api.js";
import { element } from "./dom.js";
import { listenToKeys } from "./keys.js";
import { fromForm, fromUrl, toForm, toRequest, toUrl } from "./state.js";
import { resultElements, statusText } from "./view.js";

const find = (id) => document.getElementById(id);
const form = find("search");
const results = find("results");

let indexes = [];
let running = new AbortController();

form.addEventListener("submit", submit);
form.elements.index.addEventListener("change", fillFirstStages);
find("key").addEventListener("input", ({ target }) => useKey(target.value));
find("skip").addEventListener("click", skip);
window.addEventListener("popstate", restore);
listenToKeys(find("q"), results, find("letters"));
await restore();

async function submit(event) {
  event.preventDefault();
  const state = fromForm(form);
  const url = toUrl(state);
  if (url !== location.search) history.pushState(null, "", url);
  await run(state);
}

async function restore() {
  const state = fromUrl(location.search);
  toForm(state, form);
  if (!state.q) find("q").focus();
  await run(state);
}

/** Move the focus as the link would, without an entry in the history. */
function skip(event) {
  event.preventDefault();
  results.focus();
}

/** Run a search and show its answer, unless another search has begun meanwhile. */
async function run(state) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  document.title = state.q ? `${state.q} – rerank-search` : "rerank-search";
  report("", state.q ? "Searching …" : "");
  results.setAttribute("aria-busy", "true");
  try {
    const asked = await select(state);
    const answer = asked.q ? await search(toRequest(asked), signal) : null;
    if (!signal.aborted) show(answer);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

function show(answer) {
  if (!answer) return finish([], "", "");
  const [result] = answer.results;
  finish(resultElements(result, answer.model, answer.warnings), "", statusText(result));
}

function fail(error) {
  finish([], error.message, "");
  if (error.status !== 401) return;
  find("key-control").hidden = false;
  find("key").focus();
}

function finish(elements, problem, status) {
  results.replaceChildren(...elements);
  results.removeAttribute("aria-busy");
  report(problem, status);
}

function report(problem, status) {
  find("problem").textContent = problem;
  find("status").textContent = status;
}

// The select fields

/** Show this search in the select fields; a search without an index uses the first one. */
async function select(state) {
  if (!indexes.length) await loadIndexes();
  const index = state.index || (indexes[0]?.name ?? "");
  form.elements.index.value = index;
  fillFirstStages();
  form.elements.first_stage.value = state.first_stage;
  return { ...state, index };
}

async function loadIndexes() {
  indexes = await listIndexes();
  form.elements.index.replaceChildren(...indexes.map(({ name }) => option(name)));
  find("index-control").hidden = indexes.length < 2;
}

function fillFirstStages() {
  const select = form.elements.first_stage;
  const chosen = select.value;
  const index = indexes.find(({ name }) => name === form.elements.index.value);
  const stages = index?.first_stages ?? [];
  select.replaceChildren(option("", "best available"), ...stages.map((name) => option(name)));
  select.value = stages.includes(chosen) ? chosen : "";
}

function option(value, text = value) {
  return element("option", { value }, text);
}
