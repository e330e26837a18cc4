// The two calls of the HTTP API that the page needs.

const KEY = "rerank-search-key";

/** An answer that is an error; `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Keep the key for this tab only: it must not be in the URL, which is shared. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key.trim());
}

export async function listIndexes() {
  return (await call("/v1/indexes", {})).indexes;
}

export async function search(request, signal) {
  const body = JSON.stringify(request);
  return call("/v1/search", { method: "POST", body, signal });
}

async function call(path, options) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await reached(fetch(path, { ...options, headers }));
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

async function reached(request) {
  try {
    return await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
}

async function errorOf(response) {
  // What stands between the server and the page (a proxy) answers in shapes of its own.
  const { error } = await response.json().catch(() => ({}));
  if (!error) return new ApiError(response.status, `The server answered ${response.status}.`);
  const request = response.status >= 500 ? ` (request ${error.request_id})` : "";
  return new ApiError(response.status, error.message + request);
}
