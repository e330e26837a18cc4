// Reads the filter field: JSON, or conditions as on the command line, separated by commas.

const OPERATORS = { "=": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte" };
const PARTS = /(?:"[^"]*"|[^,])+/g;
const CONDITION = /^([^=<>!{}]+)(>=|<=|!=|=|>|<)(.*)$/s;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?$/;

/** The filter for the API, or null for an empty field. Throws an Error if it is not valid. */
export function parseFilter(text) {
  const written = text.trim();
  if (!written) return null;
  if (written.startsWith("{")) return parseJson(written);
  const conditions = written.match(PARTS).map(parseCondition);
  return conditions.length === 1 ? conditions[0] : { $and: conditions };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`The filter is not JSON: ${error.message}. Fix it, or write key=value.`);
  }
}

function parseCondition(text) {
  const match = text.trim().match(CONDITION);
  if (!match) {
    throw new Error(
      `The filter “${text.trim()}” is not valid: write key=value (or != < <= > >=), or JSON.`,
    );
  }
  const [, key, operator, value] = match;
  return { [key.trim()]: { [OPERATORS[operator]]: valueOf(value.trim()) } };
}

function valueOf(text) {
  if (/^".*"$/s.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  // A number that would be written differently stays text: 3.10 is a version.
  return NUMBER.test(text) && String(Number(text)) === text ? Number(text) : text;
}
