// What the keys do.

import { byId, el } from "./dom.js";

const KEYS = [
  ["/", "filter the symbols"],
  ["↑ ↓", "go from row to row"],
  ["Page Up, Page Down, Home, End", "go further in the table"],
  ["Enter", "open the symbol"],
  ["Esc", "leave the filter, or go back to all symbols"],
  ["1 2 3 4", "in a symbol's view: 15 minutes, 1, 6 or 24 hours"],
  ["?", "show this help"],
];

export function setUpHelp() {
  const rows = KEYS.map(([keys, what]) => el("div", {}, el("dt", {}, el("kbd", {}, keys)), el("dd", {}, what)));
  byId("help-keys").append(...rows);
  byId("help-open").addEventListener("click", showHelp);
}

export function showHelp() {
  if (!byId("help").open) byId("help").showModal();
}

/** Whether a dialog takes the keys. */
export function isHelpOpen() {
  return byId("help").open;
}
