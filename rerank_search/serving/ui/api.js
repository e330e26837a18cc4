// The two requests that the page sends to the HTTP API.

const KEY = "rerank-search-key";

/** An error from the server; `status` is 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Store the key for this tab only, and never in the URL, which people share. */
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
    throw new ApiError(0, "The server cannot be reached. Check that it is running, then search again.");
  }
}

async function errorOf(response) {
  // A proxy between the page and the server has error bodies of its own.
  const { error } = await response.json().catch(() => ({}));
  if (!error) return new ApiError(response.status, `The server answered ${response.status}.`);
  const request = response.status >= 500 ? ` (request ${error.request_id})` : "";
  return new ApiError(response.status, error.message + request);
}
