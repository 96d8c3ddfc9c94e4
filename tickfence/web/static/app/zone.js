// Times in UTC or in the browser's zone: one button switches between them.

import { showUtc } from "./format.js";

const KEY = "zone";

/** Sets up the button; `onChange` is called after every switch. */
export function setUpZone(button, onChange) {
  let isUtc = kept() === "utc";
  const show = () => {
    showUtc(isUtc);
    button.textContent = isUtc ? "UTC" : "Local";
    button.setAttribute("aria-label", `Times: ${isUtc ? "UTC" : "local"}`);
    button.title = `Times are shown in ${isUtc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone}. Press to switch.`;
  };
  button.addEventListener("click", () => {
    isUtc = !isUtc;
    keep(isUtc ? "utc" : "local");
    show();
    onChange();
  });
  show();
}

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden; `keep` says so
  }
}

function keep(zone) {
  try {
    localStorage.setItem(KEY, zone);
  } catch (error) {
    console.info("The choice of the zone is not remembered:", error.message);
  }
}
