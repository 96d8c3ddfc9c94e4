// One event as an item of a timeline.

import { el } from "./dom.js";
import { headline, movesOf, weight } from "./events.js";
import { clock, count, dateTime, thousandths } from "./format.js";
import { ownerTag } from "./owners.js";
import { addressOf } from "./route.js";

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
