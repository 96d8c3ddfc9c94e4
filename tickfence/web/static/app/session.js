// The bearer token, if the server wants one, and requests that carry it.

const KEY = "token";
let kept = null; // where storage is forbidden, the token lives as long as the page

/** Takes the token out of `?token=…` once, so that it stays neither in the address nor in the history. */
export function takeTokenFromAddress() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  keepToken(given);
}

export function keepToken(token) {
  kept = token;
  try {
    sessionStorage.setItem(KEY, token);
  } catch (error) {
    console.info("The token is not kept over a reload:", error.message);
  }
}

function token() {
  if (kept !== null) return kept;
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage is forbidden, which keepToken has said
  }
}

/** `fetch` of a path of this server. */
export function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  return fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store", credentials: "same-origin" });
}
