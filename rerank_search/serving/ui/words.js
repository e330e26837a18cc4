// Words as the server compares them (rerank_search/retrieval/folding.py), to mark them in a text.

const WORD = /[\p{L}\p{N}\p{M}\p{Default_Ignorable_Code_Point}_]+/gu;
const ASCII = /^\w+$/;
const INVISIBLE = /\p{Default_Ignorable_Code_Point}+/gu;
// Sorting the marks of one letter takes quadratic time.
const LONG_RUN = /([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+/gu;
// Marks that writers leave out: accents and stress, the points of Hebrew and Arabic, tatweel.
const ACCENT =
  /[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u0951-\u0954\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+/gu;
// Letters of their own, though Unicode takes them for accented ones.
const WITHOUT_LETTERS = /[^йїўѓќЙЇЎЃЌؤئ]+/gu;
const ENDING = /(?:ing|ed|es|e|(?<!s)s)$/;

/** Every word of a text: where it is, as it is shown there, and as it is compared. */
export function* wordsIn(text) {
  for (const { index, 0: shown } of text.matchAll(WORD)) {
    const word = folded(shown);
    if (word) yield { index, shown, word };
  }
}

/** A word without its ending. */
export function stem(word) {
  const short = word.replace(ENDING, "");
  return short.length < 3 ? word : short;
}

function folded(word) {
  if (ASCII.test(word)) return word.toLowerCase();
  const seen = word.replace(INVISIBLE, "").replace(LONG_RUN, "$1").normalize("NFKC");
  const bare = seen.replace(WITHOUT_LETTERS, (part) => part.normalize("NFD").replace(ACCENT, ""));
  return bare.normalize("NFC").toLowerCase().replaceAll("ς", "σ");
}
