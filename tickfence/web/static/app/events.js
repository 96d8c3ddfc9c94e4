// An event in words: its headline, its mark, the symbols it moved; and as an item of a timeline.

import { el } from "./dom.js";
import { clock, count, dateTime, thousandths } from "./format.js";
import { ownerTag } from "./nodes.js";
import { addressOf } from "./route.js";

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

const SHOWN_MOVES = 3; // more are collapsed

/** A list item: time, mark, sentence, and the old and new owner of each moved symbol that `isMeant(symbol, from, to)`. */
export function eventItem(event, isMeant = () => true) {
  const at = new Date(event.at);
  const time = el("time", { datetime: at.toISOString(), title: dateTime(event.at) }, clock(event.at));
  time.append(el("span", { class: "fine" }, thousandths(event.at)));
  const mark = el("i", { class: "mark", "data-kind": event.kind, "data-weight": weight(event), "aria-hidden": "true" });
  const body = el("div", { class: "what" }, el("p", {}, headline(event)));
  const moves = movesOf(event).filter((move) => isMeant(...move));
  if (moves.length) body.append(moves.length > SHOWN_MOVES ? folded(moves) : moveList(moves));
  return el("li", {}, time, mark, body);
}

function folded(moves) {
  const details = el("details", {}, el("summary", {}, count(moves.length, "symbol")));
  // Built when it is opened: a first assignment names every symbol.
  details.addEventListener("toggle", () => details.open && details.append(moveList(moves)), { once: true });
  return details;
}

function moveList(moves) {
  const items = moves.map(([symbol, from, to]) =>
    el(
      "li",
      {},
      el("a", { href: addressOf(symbol) }, symbol),
      ...(from ? [ownerTag(from)] : []),
      el("span", { class: "arrow", "aria-label": "to" }, "→"),
      ownerTag(to),
    ),
  );
  return el("ul", { class: "moves" }, ...items);
}
