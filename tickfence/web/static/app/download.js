// Saves data as a file of the visitor.

import { el } from "./dom.js";

const KEPT_MS = 10_000; // the time a browser has to save a file

/** Saves a blob under a name. */
export function save(blob, name) {
  const link = el("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}
