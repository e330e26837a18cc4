// The part of a document's text that is shown, with the words of the query marked.

import { element } from "./dom.js";
import { stem, wordsIn } from "./words.js";

const COMMON = new Set(
  (
    "a an and are as at be by can do does for from how i in is it my of on or " +
    "that the this to was what when where which who why with you"
  ).split(" "),
);
const FAR = 130;
const CONTEXT = 60;
const LONGEST = 20_000;

/** The words of a query to mark, without their endings; common words only if there are no others. */
export function wordsOf(query) {
  const all = [...wordsIn(query)].map(({ word }) => word);
  const telling = all.filter((word) => !COMMON.has(word));
  return new Set((telling.length ? telling : all).map(stem));
}

/** The text as nodes, with the words marked. Text never becomes HTML. */
export function marked(text, words) {
  const nodes = [];
  let end = 0;
  for (const match of matches(text, words)) {
    nodes.push(text.slice(end, match.index), element("mark", {}, match.shown));
    end = match.index + match.shown.length;
  }
  return [...nodes, text.slice(end)];
}

/** The beginning of the best passage, or the part around the first word of the query. */
export function excerpt({ text }, span, words) {
  const passage = passageOf(text, span).replace(/\s+/g, " ").trim();
  const first = matches(passage, words).next().value?.index ?? 0;
  const start = first < FAR ? 0 : passage.lastIndexOf(" ", first - CONTEXT) + 1;
  const rest = passage.slice(start);
  // The flag u counts whole characters, so that none is cut in two.
  const [shown] = rest.match(/^.{1,260}(?!\S)/su) ?? rest.match(/^.{0,260}/su);
  return (start ? "… " : "") + shown + (shown.length < rest.length ? " …" : "");
}

function passageOf(text, span) {
  if (!span) return text.slice(0, LONGEST);
  // The API counts characters; JavaScript counts some of them as two units.
  return Array.from(text).slice(...span).join("");
}

function* matches(text, words) {
  for (const match of wordsIn(text)) {
    if (words.has(stem(match.word))) yield match;
  }
}
