// A titled box of a view.

import { el } from "./dom.js";

/** A section with a head: its title and `extras`; and its body. */
export function panel(name, title, extras, body) {
  const head = el("header", {}, el("h2", { id: `${name}-title` }, title), ...extras);
  return el("section", { class: `panel card-${name}`, "aria-labelledby": `${name}-title` }, head, body);
}
