// Shows the answer to a search.

import { element } from "./dom.js";
import { movementLines } from "./movement.js";
import { excerpt, marked, withMatches } from "./text.js";

const SECOND_STAGE = ["rerank", "fused"];
const score = new Intl.NumberFormat("en", {
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** The ranking; after reranking, also the first stage's ranking and what moved. */
export function resultElements(result, model, warnings = []) {
  const parts = [...warnings.map((warning) => note(`Warning: ${warning}`)), summary(result)];
  if (result.degraded) parts.unshift(note(`Not reranked: ${result.degraded}`));
  if (result.hits.length) parts.push(lists(result, model));
  return parts;
}

/** The sentence about the answer that a screen reader reads out. */
export function statusText(result) {
  const count = result.hits.length;
  if (!count) return "No results.";
  const shown = count === 1 ? "1 result" : `${count} results`;
  return result.reranked
    ? `${shown}, the best of ${result.reranked_count} that were reranked`
    : `${shown} from the first stage`;
}

function note(text) {
  return element("p", { class: "note" }, text);
}

// Counts and times

function summary(result) {
  const counts = {
    candidates: result.candidates,
    reranked: result.reranked_count,
    truncated: result.truncated,
  };
  const times = Object.entries(result.timings).map(([name, value]) => [
    name.replaceAll("_", " "),
    `${(value < 10 ? tenths : whole).format(value)} ms`,
  ]);
  return element(
    "div",
    { class: "summary" },
    facts("Counts", Object.entries(counts)),
    facts("Times", times),
  );
}

function facts(label, pairs, className = "facts") {
  const items = pairs.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(value))),
  );
  return element("dl", { class: className, "aria-label": label }, ...items);
}

// The lists

function lists(result, model) {
  const hits = result.hits.map((hit) => hitItem(hit, result));
  if (!result.reranked) {
    const only = section("after", "First stage", result.first_stage, hits);
    return element("div", { class: "lists" }, only);
  }
  const places = new Map(result.hits.map((hit) => [hit.id, hit.rank]));
  const before = result.first_stage_hits.map((hit) =>
    firstStageItem(hit, places.get(hit.id), result),
  );
  // Screen readers read the reranked list first; on the screen, the grid puts it second.
  const both = element(
    "div",
    { class: "lists compared" },
    section("after", "Reranked", model ?? "", hits),
    section("before", "First stage", result.first_stage, before),
  );
  both.style.setProperty("--rows", Math.max(hits.length, before.length) + 1);
  both.append(movementLines(both, before, hits));
  return both;
}

function section(className, title, how, items) {
  const id = `${className}-title`;
  const heading = element("h2", { id }, title, " ", element("small", {}, how));
  const list = element("ol", {}, ...items);
  return element("section", { class: className, "aria-labelledby": id }, heading, list);
}

function hitItem(hit, result) {
  const titleId = `hit-${hit.rank}`;
  const { title, text } = hit.document;
  const name = title ? withMatches(title, hit.matches?.title) : withMatches(hit.id);
  const content = withMatches(text, hit.matches?.text);
  const heading = element("h3", { id: titleId, class: "title", dir: "auto" }, ...marked(name));
  const head = element("div", { class: "head" }, place(hit.rank), heading);
  if (result.reranked && hit.first_stage_rank) head.append(cameFrom(hit));
  const body = element("p", { class: "excerpt", dir: "auto" }, ...excerpt(content, hit.span));
  const foot = element("div", { class: "foot" }, scores(hit), wholeDocument(hit, content));
  const article = element(
    "article",
    { tabindex: "-1", "aria-labelledby": titleId },
    head,
    body,
    foot,
  );
  return element("li", { "data-id": hit.id }, article);
}

function firstStageItem(hit, newRank, result) {
  const head = element(
    "div",
    { class: "head" },
    place(hit.rank),
    element("p", { class: "title", dir: "auto" }, hit.title || hit.id),
  );
  const foot = element(
    "div",
    { class: "foot" },
    facts("Scores", [[result.first_stage, score.format(hit.score)]], "scores"),
    goesTo(hit.rank, newRank, result.hits.length),
  );
  return element("li", { "data-id": hit.id }, head, foot);
}

function place(rank) {
  return element("span", { class: "place" }, String(rank));
}

function scores(hit) {
  const names = Object.keys(hit.stage_scores);
  const first = names.filter((name) => !SECOND_STAGE.includes(name)).sort();
  const shown = [...first, ...SECOND_STAGE.filter((name) => names.includes(name))];
  const pairs = shown.map((name) => [name, score.format(hit.stage_scores[name])]);
  if (hit.relevance !== undefined) pairs.push(["relevance", score.format(hit.relevance)]);
  return facts("Scores", pairs, "scores");
}

function wholeDocument({ id, document, rank }, content) {
  const whose = element("span", { class: "unseen" }, ` at place ${rank}`);
  const metadata = Object.entries(document.metadata).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  return element(
    "details",
    {},
    element("summary", {}, "Whole document", whose),
    facts("About the document", [["id", id], ...metadata]),
    element("p", { class: "whole", dir: "auto" }, ...marked(content)),
  );
}

// Movement as text, for people who do not see the lines or their colours.

function cameFrom({ rank, first_stage_rank: before }) {
  if (before === rank) return moved("same", "same place");
  const text = before > rank ? `up ${before - rank}` : `down ${rank - before}`;
  return moved(before > rank ? "up" : "down", text, ` from ${before}`);
}

function goesTo(before, rank, shown) {
  if (rank === undefined) return moved("down", `down, below ${shown}`);
  if (rank === before) return moved("same", "stays");
  return rank < before ? moved("up", `up to ${rank}`) : moved("down", `down to ${rank}`);
}

function moved(kind, text, rest = "") {
  const arrow = { up: "↑", down: "↓", same: "=" }[kind];
  return element(
    "span",
    { class: `moved ${kind}` },
    element("span", { "aria-hidden": "true" }, `${arrow} `),
    text,
    element("span", { class: "rest" }, rest),
  );
}
