// An event in words: its headline, its mark, and the symbols it moved.

import { count } from "./format.js";

export const KINDS = [
  { name: "all", label: "All" },
  { name: "moved", label: "Moves" },
  { name: "node", label: "Nodes" },
  { name: "leader", label: "Leader" },
  { name: "conflict", label: "Conflicts" },
  { name: "symbol", label: "Symbols" },
  { name: "desired", label: "Operators" },
];

const BAD = ["died", "silent", "stuck", "took over", "data lost", "node died", "node silent", "node stuck", "set aside"];

/** How serious it is: "bad", "odd" or "plain"; shown as the mark's colour, and the mark has a shape for each kind. */
export function weight({ kind, reason }) {
  if (kind === "conflict") return "odd";
  return BAD.includes(reason) ? "bad" : "plain";
}

/** The moves of an event: [symbol, from or null, to or null], by symbol. */
export function movesOf(event) {
  return Object.entries(event.moves ?? {})
    .map(([symbol, [from, to]]) => [symbol, from, to])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Whether an event concerns a symbol. */
export function concerns(event, symbol) {
  return event.symbol === symbol || symbol in (event.moves ?? {}) || (event.what ?? "").split(" ").includes(symbol);
}

/** Whether an event concerns a node. */
export function eventAbout(event, node) {
  if ([event.node, event.holder].includes(node) || (event.nodes ?? "").split(",").includes(node)) return true;
  if ((event.what ?? "").split(" ").includes(node)) return true;
  return Object.values(event.moves ?? {}).some((owners) => owners.includes(node));
}

/** One sentence: the server's. For moves, which are listed below it: the reason and how many. */
export function headline(event) {
  const moves = movesOf(event).length;
  if (!moves) return event.text;
  const does = event.reason === "first assignment" ? "" : " moved";
  return `${event.text.split(": ")[0]}: ${count(moves, "symbol")}${does}`;
}
