// How old what is shown really is. The server judges each report's age, and says so when its judgement changes; while
// it says nothing at all, only the clock tells.

const SILENCE_MS = 2000; // the nodes' state comes twice a second

/** Age in ms of the market data behind a row, now; null if none was received. */
export function dataAge(row, now) {
  return row.ageMs == null ? null : Math.max(0, row.ageMs + now - row.sentAt);
}

/** "ok", "degraded" or "down": as the server says, or "down" if it is silent; "none" without a report. */
export function status(row, now, heardAt) {
  if (row.updatedAt == null) return "none";
  return now - heardAt > SILENCE_MS ? "down" : row.status;
}

/** What a status is called on the page. */
export const STATUS_TEXT = { ok: "ok", degraded: "degraded", down: "down", none: "no report" };
