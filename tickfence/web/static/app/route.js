// Which view the address asks for: "#/BTCUSDT" is a symbol's, everything else the overview.

/** The symbol in the address, or null. */
export function symbolInAddress() {
  const found = /^#\/([A-Z0-9]{2,20})$/.exec(location.hash.toUpperCase());
  return found ? found[1] : null;
}

/** Goes to the overview, by the history where that is where one came from. */
export function goToOverview() {
  location.hash = "#/";
}

/** Whether a key press belongs to a field that is being typed in. */
export function isTyping(event) {
  return event.target.matches("input, textarea, select, [contenteditable]");
}
