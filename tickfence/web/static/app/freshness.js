// How old the shown data is. The server judges the age of each report and sends a change of its judgement. While the
// server sends nothing, only the local clock shows the age.

const SILENCE_MS = 2000; // the nodes' state comes twice a second

/** Age in ms of the market data behind a row, now; null if none was received. */
export function dataAge(row, now) {
  return row.ageMs == null ? null : Math.max(0, row.ageMs + now - row.sentAt);
}

/** Whether the server has said nothing for so long that what it said is outdated. */
export const isSilent = (now, heardAt) => now - heardAt > SILENCE_MS;

/** Whether a status says that nobody is to write the symbol's report. */
export const isIdle = (status) => status === "paused" || status === "set aside";

/** As the server judges: "ok", "degraded", "down", "paused" or "set aside". "down" if it is silent; "none" without a report. */
export function status(row, now, heardAt) {
  if (isIdle(row.status)) return row.status;
  if (row.updatedAt == null) return "none";
  return isSilent(now, heardAt) ? "down" : row.status;
}

/** The page's word for a status. */
export const STATUS_TEXT = {
  ok: "ok",
  degraded: "degraded",
  down: "down",
  none: "no report",
  paused: "paused",
  "set aside": "set aside",
};
