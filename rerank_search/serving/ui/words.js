// Finds words as the server does (rerank_search/retrieval/folding.py), to mark them in a text.

// Letters that look like apostrophes, and the marks at which Thai, Lao, Burmese and Khmer are cut,
// are not part of a word.
const WORD =
  /(?:(?![\u02b9\u02bb-\u02bf\ua78b\ua78c\u0e47-\u0e4c\u0e4e\u0eba\u0ec8-\u0ecc\u0ece\u1037\u1039\u103a\u17c9-\u17d3\u17dd])[\p{L}\p{N}\p{M}\p{Default_Ignorable_Code_Point}])+/gu;
const ASCII = /^\w+$/;
const INVISIBLE = /\p{Default_Ignorable_Code_Point}+/gu;
// Sorting the marks of one letter takes quadratic time.
const LONG_RUN = /([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+/gu;
// Marks that people often do not type: accents and stress, the points of Hebrew and Arabic, tatweel.
const ACCENT =
  /[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u0951-\u0954\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+/gu;
// Separate letters, which Unicode treats as accented ones.
const WITHOUT_LETTERS = /[^йїўѓќЙЇЎЃЌؤئ]+/gu;
// Letters without an accent that the server writes in ASCII.
const IN_ASCII = { ß: "ss", æ: "ae", œ: "oe", ø: "o", ł: "l", đ: "d", ð: "d", þ: "th", ı: "i" };
const ENDING = /(?:ing|ed|es|e|(?<!s)s)$/;

/** Every word of a text: its place, its spelling there, and its form for comparisons. */
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
  const lower = bare.normalize("NFC").toLowerCase().replaceAll("ς", "σ");
  return lower.replace(/[ßæœøłđðþı]/g, (letter) => IN_ASCII[letter]);
}
