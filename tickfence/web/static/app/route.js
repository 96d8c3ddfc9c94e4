// The view in the address: "#/BTCUSDT" is a symbol's, everything else is the overview.

/** The symbol in the address, or null. Any name is taken; the API knows which symbols there are. */
export function symbolInAddress() {
  // "." and ".." would lead to other paths of the API.
  const name = /^#\/(?!\.\.?$)(.+)$/.exec(location.hash)?.[1] ?? null;
  try {
    return name && decodeURIComponent(name);
  } catch {
    return name; // the percent sign encodes nothing
  }
}

/** The address of a symbol's view. */
export function addressOf(symbol) {
  return `#/${encodeURIComponent(symbol)}`;
}

/** Goes to the overview. */
export function goToOverview() {
  location.hash = "#/";
}

/** Whether a key press belongs to an input field. */
export function isTyping(event) {
  return event.target.matches("input, textarea, select, [contenteditable]");
}
