// Asks for the bearer token when the server requires one.

import { byId, setText } from "./dom.js";
import { keepToken } from "./session.js";

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
