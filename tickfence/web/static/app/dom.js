// Creates elements, changes their text, announces it. Text is always set as text, never as HTML.

/** An element: `el("td", { class: "num", title: "…" }, "text", child)`. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets an element's text if it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a `data-` attribute if it differs. */
export function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

export const byId = (id) => document.getElementById(id);

/** A titled box of a view: a section with a head, which is its title and `extras`; and its body. */
export function panel(name, title, extras, body) {
  const head = el("header", {}, el("h2", { id: `${name}-title` }, title), ...extras);
  return el("section", { class: `panel card-${name}`, "aria-labelledby": `${name}-title` }, head, body);
}

const KEPT_MS = 10_000; // the time a browser has to save a file

/** Saves a blob under a name. */
export function save(blob, name) {
  const link = el("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

const PAUSE_MS = 3000; // so that a listener can follow
let next = null;
let pause = null;

/** Announces `text` to assistive technology; of several texts within three seconds, only the latest. */
export function announce(text) {
  next = text;
  if (pause === null) say();
}

function say() {
  pause = null;
  if (next === null) return;
  byId("announcement").textContent = next;
  next = null;
  pause = setTimeout(say, PAUSE_MS);
}
