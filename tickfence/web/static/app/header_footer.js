// What surrounds the views: the buttons of the header, with what the keys do, and the links in the footer.

import { byId, el } from "./dom.js";
import { showUtc } from "./format.js";
import { request } from "./session.js";

const CHOICES = [
  { name: "", label: "Auto", icon: "◐" },
  { name: "light", label: "Light", icon: "○" },
  { name: "dark", label: "Dark", icon: "●" },
];

/** Light, dark, or the system's theme: the button cycles through them; `onChange` is called after every change of colours. */
export function setUpTheme(button, onChange) {
  const root = document.documentElement;
  const present = () => Math.max(0, CHOICES.findIndex((choice) => choice.name === (root.dataset.theme ?? "")));
  const show = () => {
    const { label, icon } = CHOICES[present()];
    button.textContent = `${icon} ${label}`;
    button.setAttribute("aria-label", `Colours: ${label.toLowerCase()}`);
    button.title = "Colours: auto, light or dark";
  };
  button.addEventListener("click", () => {
    const { name } = CHOICES[(present() + 1) % CHOICES.length];
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    keep("theme", name);
    show();
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  show();
}

/** Times in UTC or in the browser's zone: the button switches; `onChange` is called after every switch. */
export function setUpZone(button, onChange) {
  let isUtc = kept("zone") === "utc";
  const show = () => {
    showUtc(isUtc);
    button.textContent = isUtc ? "UTC" : "Local";
    button.setAttribute("aria-label", `Times: ${isUtc ? "UTC" : "local"}`);
    button.title = `Times are shown in ${isUtc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone}. Press to switch.`;
  };
  button.addEventListener("click", () => {
    isUtc = !isUtc;
    keep("zone", isUtc ? "utc" : "");
    show();
    onChange();
  });
  show();
}

function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage may be forbidden; `keep` says so
  }
}

function keep(name, value) {
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch (error) {
    console.info(`The choice of the ${name} is not remembered:`, error.message);
  }
}

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

/** Shows the links to the other pages of the deployment in the footer; what the server does not know is not there. */
export async function showLinks() {
  try {
    const answer = await request("v1/links");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const links = await answer.json();
    byId("links").append(...links.map(({ name, url }) => el("a", { href: url, rel: "noopener" }, name)));
  } catch (error) {
    console.info("No links to other pages:", error.message);
  }
}
