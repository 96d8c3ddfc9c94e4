// Asks for the bearer token when the server wants one.

import { byId, setText } from "./dom.js";
import { keepToken } from "./session.js";

let asked = null; // the promise of the dialog that is open

/** Whether the page waits for a token: then keys are the dialog's, also in the moment between its closing and its return. */
export function isAsking() {
  return asked !== null;
}

/** Resolves once a token was given. Asked again while open, it is the same dialog. */
export function askForToken(isSecondTry) {
  asked ??= new Promise((resolve) => {
    const dialog = byId("login");
    const field = byId("token");
    const ended = new AbortController();
    // Browsers close a dialog at the second Escape, whatever the page says to it.
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
