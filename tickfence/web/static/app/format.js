// Numbers and times for people. An unknown value is an en dash.

export const NOTHING = "–";
const MINUS = "−";
const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"]];
const formats = new Map();

function decimal(value, decimals) {
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    formats.set(decimals, format);
  }
  return format.format(value).replace("-", MINUS);
}

/** A number with a fixed number of decimals and grouped thousands. */
export function fixed(value, decimals = 0) {
  return value == null ? NOTHING : decimal(value, decimals);
}

/** As `fixed`, with a plus sign above zero. */
export function signed(value, decimals = 2) {
  if (value == null) return NOTHING;
  const text = decimal(value, decimals);
  const isZero = !/[1-9]/.test(text);
  return isZero ? text.replace(MINUS, "") : (value > 0 ? "+" : "") + text;
}

/** How many decimals a number has, up to 16: 0.5212 has 4. */
export function decimalsOf(value) {
  if (value == null || Number.isInteger(value)) return 0;
  const [mantissa, exponent] = String(value).split("e");
  const written = (mantissa.split(".")[1] ?? "").length - Number(exponent ?? 0);
  return Math.min(16, Math.max(0, written));
}

/** A quantity in about four significant digits: 4.32 B; 12,345; 12.35; 0.00123. */
export function quantity(value) {
  if (value == null) return NOTHING;
  const size = Math.abs(value);
  if (size === 0) return "0";
  for (const [unit, name] of UNITS) if (size >= unit) return `${decimal(value / unit, 2)} ${name}`;
  if (size >= 1000) return decimal(value, 0);
  if (size >= 1) return decimal(value, 2);
  return decimal(value, Math.min(8, 2 - Math.floor(Math.log10(size))));
}

/** As `quantity`, with a plus sign above zero. */
export function signedQuantity(value) {
  return value > 0 ? `+${quantity(value)}` : quantity(value);
}

/** A time span in ms: "0.2 s", "42 s", "3 min", "2 h". */
export function span(ms) {
  if (ms == null) return NOTHING;
  if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.floor(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}

const pad = (number, length = 2) => String(number).padStart(length, "0");

/** A number over a window of which not enough is known, like "12 of 30 s": how much is, and how much it needs. */
export function uncovered(knownSec, neededSec) {
  return knownSec == null || knownSec >= neededSec ? NOTHING : `${knownSec} of ${neededSec} s`;
}

let isUtc = false;

/** Whether times are shown in UTC, or in the browser's zone. */
export function showUtc(choice) {
  isUtc = choice;
}

/** The time of day: "14:03:07". */
export function clock(ms) {
  const time = new Date(ms);
  const parts = isUtc
    ? [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()]
    : [time.getHours(), time.getMinutes(), time.getSeconds()];
  return parts.map((part) => pad(part)).join(":");
}

/** Date, time of day and zone. */
export function dateTime(ms) {
  const time = new Date(ms);
  return isUtc ? time.toUTCString() : time.toString();
}

/** The thousandths that `clock` leaves out: ".412". */
export function thousandths(ms) {
  return `.${pad(new Date(ms).getMilliseconds(), 3)}`;
}

/** "1 symbol", "2 symbols". */
export function count(number, noun) {
  return `${fixed(number)} ${noun}${number === 1 ? "" : "s"}`;
}
