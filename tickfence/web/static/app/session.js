// The bearer token, if the server requires one: requests with it, and the dialog that asks for it.

import { byId, setText } from "./dom.js";

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

let asked = null; // the promise of the dialog that is open

/** Whether the page waits for a token. Key presses then belong to the dialog, also while it is about to reopen. */
export function isAsking() {
  return asked !== null;
}

/** Resolves when a token was entered. A second call while the dialog is open shares it. */
export function askForToken(isSecondTry) {
  asked ??= new Promise((resolve) => {
    const dialog = byId("login");
    const field = byId("token");
    const ended = new AbortController();
    // Browsers close a dialog at the second Escape, even if the page prevents it.
    dialog.addEventListener("close", () => dialog.showModal(), { signal: ended.signal });
    if (isSecondTry) setText(byId("login-title"), "That token was not accepted");
    dialog.querySelector("form").addEventListener(
      "submit",
      () => {
        ended.abort();
        keepToken(field.value);
        field.value = "";
        asked = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
    field.focus();
  });
  return asked;
}
