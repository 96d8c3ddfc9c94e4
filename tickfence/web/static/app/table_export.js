// The table as a file: the rows that the filter leaves, in the order that is shown.

import { save } from "./download.js";

const FIELDS = [
  "symbol", "venue", "pair", "owner", "token", "status", "trading", "updatedAt", "ageMs", "price", "changePct", "spreadBps",
  "imbalance", "netFlow", "ordersPerSec", "health",
]; // prettier-ignore

/** Saves rows of the market; form: "csv" or "json". */
export function exportRows(rows, form, market) {
  const records = rows.map((row) => ({ ...pick(row), status: market.status(row) }));
  const at = new Date(market.now()).toISOString();
  const text = form === "csv" ? csv(records) : JSON.stringify({ at, symbols: records }, null, 1);
  const type = form === "csv" ? "text/csv" : "application/json";
  save(new Blob([text], { type }), `tickfence-${at.slice(0, 19).replace(/\D/g, "")}.${form}`);
}

/** Records with the same fields as CSV (RFC 4180). */
export function csv(records) {
  const lines = [FIELDS, ...records.map((record) => FIELDS.map((field) => record[field]))];
  return lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function pick(row) {
  return Object.fromEntries(FIELDS.map((field) => [field, row[field] ?? null]));
}

function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
