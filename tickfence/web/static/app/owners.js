// Nodes and their colours: the same node has the same colour on every page and after every reload.

import { el, setData, setText } from "./dom.js";

const COLOURS = 8; // as many as tokens.css has

/** Which of the eight colours a node has: by the number its name ends with, or by all its letters. */
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

/** A node's name behind a spot of its colour. */
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
