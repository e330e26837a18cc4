// The filter as it is typed: the forms that the command line takes, several separated by commas.

const OPERATORS = { "=": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte" };
const PARTS = /(?:"[^"]*"|[^,])+/g;
const CONDITION = /^([^=<>!{}]+)(>=|<=|!=|=|>|<)(.*)$/s;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?$/;

/** The filter for the API; null where there is none. Throws an Error that says what is wrong. */
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
    throw new Error(`The filter is not JSON: ${error.message}`);
  }
}

function parseCondition(text) {
  const match = text.trim().match(CONDITION);
  if (!match) {
    throw new Error(`The filter “${text.trim()}”: write key=value (or != < <= > >=), or JSON.`);
  }
  const [, key, operator, value] = match;
  return { [key.trim()]: { [OPERATORS[operator]]: valueOf(value.trim()) } };
}

function valueOf(text) {
  if (/^".*"$/s.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  // 3.10 is a version rather than a number: what would be written differently stays text.
  return NUMBER.test(text) && String(Number(text)) === text ? Number(text) : text;
}
