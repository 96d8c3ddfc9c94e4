// The bearer token, if the server requires one, and requests with it.

const KEY = "token";
let kept = null; // without storage the token lasts as long as the page

/** Removes the token from `?token=…`, so that it stays in neither the address nor the history. */
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
    return null; // storage is forbidden; keepToken has logged it
  }
}

/** `fetch` of a path of this server. */
export function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  return fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store", credentials: "same-origin" });
}
