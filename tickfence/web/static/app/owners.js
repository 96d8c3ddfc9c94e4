// Nodes and their colours: the same node has the same colour on every page and after every reload.

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
