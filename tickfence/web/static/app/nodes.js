// Nodes: their colours, and what their states mean, in one word and in one sentence for all nodes.

import { el, setData, setText } from "./dom.js";

const COLOURS = 8; // tokens.css defines them

/** A node's colour: from the number at the end of its name, or from a hash of its name. */
export function colourOf(node) {
  const number = /(\d{1,9})$/.exec(node);
  if (number) return (Number(number[1]) + COLOURS - 1) % COLOURS;
  let hash = 2166136261; // FNV-1a
  for (const letter of node) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  return (hash >>> 0) % COLOURS;
}

/** Gives `element` (and what is in it) its owner's colour as `--owner`. */
export function colourBy(element, node) {
  setData(element, "owner", node ? String(colourOf(node)) : "none");
}

/** A node's name after a dot of its colour. */
export function ownerTag(node) {
  const tag = el("span", { class: "owner" }, el("i", { "aria-hidden": "true" }), el("span"));
  showOwner(tag, node);
  return tag;
}

/** Changes the node of an `ownerTag`. */
export function showOwner(tag, node) {
  colourBy(tag, node);
  setText(tag.lastChild, node ?? "nobody");
}

const NAMED = 2; // more are counted
const STATUS = { alive: "ok", cordoned: "cordoned", drained: "drained", stuck: "stuck" }; // the look of a state

/** The page's word for a node's state: "dead" whatever it died of. */
export const stateText = ({ state }) => (state in STATUS ? state : "dead");

/** The look of a node's state. */
export const stateLook = ({ state }) => STATUS[state] ?? "down";

/** Whether a node may have symbols. */
export const works = ({ state }) => state === "alive" || state === "cordoned";

const WHY = {
  alive: "It works.",
  cordoned: "An operator has cordoned it: it keeps its symbols and gets no further ones.",
  drained: "An operator drains it: its symbols go to other nodes.",
  stuck: "It does not finish its work, so its symbols went to other nodes. Its process lives: its log says where it hangs.",
  left: "It ended in order, and gave its symbols back.",
  gone: "Its connection to Redis is closed: its process died, or the network broke.",
  silent: "It has sent no heartbeat for too long: its process hangs, is paused, or cannot reach Redis.",
};

/** Why a node is in its state, in one or two sentences. */
export const whyText = ({ state }) => WHY[state] ?? "";

/** Whether nobody wanted it so. */
export const isInTrouble = (node) => ["dead", "stuck"].includes(stateText(node));

/** How many work, and what is with the others: "2 of 3 work, node-003 is stuck". */
export function workingText(nodes) {
  if (nodes.length === 0) return "";
  const others = new Map();
  for (const node of nodes) {
    const text = stateText(node);
    if (text !== "alive") others.set(text, [...(others.get(text) ?? []), node.node]);
  }
  const told = [...others].map(([text, names]) => {
    const who = names.length > NAMED ? String(names.length) : names.sort().join(" and ");
    return `${who} ${names.length > 1 ? "are" : "is"} ${text}`;
  });
  return [`${nodes.filter(works).length} of ${nodes.length} work`, ...told].join(", ");
}
