// The part of a document's text that is shown, with the words marked by which it was found.

import { element } from "./dom.js";

const COMMON = new Set(
  (
    "a an and are as at be by can do does for from how i in is it my of on or " +
    "that the this to was what when where which who why with you"
  ).split(" "),
);
const FAR = 130;
const CONTEXT = 60;
const LONGEST = 260;

/**
 * A text with the spans of its words to mark: common words only if it has no others. `at` gives
 * the place of a character, which the server counts, in the units that JavaScript counts.
 */
export function withMatches(text, spans = []) {
  const at = /[\ud800-\udfff]/.test(text) ? units(text) : (place) => place;
  const all = spans.map(([start, end]) => [at(start), at(end)]);
  const telling = all.filter(([start, end]) => !COMMON.has(text.slice(start, end).toLowerCase()));
  return { text, spans: telling.length ? telling : all, at };
}

/** A part of the text as nodes, with the words marked. Text never becomes HTML. */
export function marked({ text, spans }, start = 0, end = text.length) {
  const nodes = [];
  let place = start;
  for (const [first, last] of spans) {
    if (first < start || last > end) continue;
    nodes.push(text.slice(place, first), element("mark", {}, text.slice(first, last)));
    place = last;
  }
  return [...nodes, text.slice(place, end)];
}

/** Nodes of the beginning of the best passage, or of the part around its first marked word. */
export function excerpt(found, span) {
  const { text, spans, at } = found;
  const [from, to] = span ? span.map(at) : [0, text.length];
  const word = spans.find(([start, end]) => start >= from && end <= to)?.[0] ?? from;
  const start = word - from < FAR ? from : beginning(text, from, word - CONTEXT);
  const end = ending(text, start, to);
  const nodes = marked(found, start, end);
  if (start > from) nodes.unshift("… ");
  if (end < to) nodes.push(" …");
  return nodes;
}

function units(text) {
  const places = [0];
  for (const character of text) places.push(places.at(-1) + character.length);
  return (place) => places[Math.min(place, places.length - 1)];
}

/** The start of the word at a place, or of the character in a text without spaces. */
function beginning(text, from, place) {
  const first = Math.max(from, place - LONGEST);
  const before = text.slice(first, place + 1);
  const space = before.search(/\s\S*$/);
  return first + (space < 0 ? lastCharacter(before) : space + 1);
}

/** The end of the last word of an excerpt, or of the last character in a text without spaces. */
function ending(text, start, to) {
  if (to - start <= LONGEST) return to;
  const shown = text.slice(start, start + LONGEST + 1);
  const space = shown.search(/\s\S*$/);
  return start + (space > 0 ? space : lastCharacter(shown));
}

/** The start of the last character, which may be a letter with its marks. */
function lastCharacter(text) {
  let last = 0;
  for (const { index } of new Intl.Segmenter().segment(text)) last = index;
  return last;
}
