// Numbers, money and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const parts = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (n) => (Number.isInteger(n) || Math.abs(n) >= 100 ? whole : parts).format(n);

export function share(upper, lower) {
  if (!lower) return "–";
  const percent = (100 * upper) / lower;
  const digits = Math.abs(percent) >= 100 ? 0 : Math.abs(percent) >= 10 ? 1 : 2;
  return `${percent.toFixed(digits)} %`;
}

export function money(micros, currency, digits) {
  if (!currency || micros === null) return "–";
  const units = micros / 1e6;
  const fraction = digits ?? (Math.abs(units) >= 1000 ? 0 : 2);
  const options = { style: "currency", currency, minimumFractionDigits: fraction, maximumFractionDigits: fraction };
  return new Intl.NumberFormat("en", options).format(units);
}

export const each = (micros, n, currency) => (n ? money(micros / n, currency, 2) : "–");

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${parts.format(seconds / 3600)} h`;
  return `${parts.format(seconds / 86400)} d`;
}

export function clock(seconds, zone, style) {
  const styles = {
    second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
    minute: { hour: "2-digit", minute: "2-digit" },
    hour: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
    day: { weekday: "short", day: "numeric", month: "short" },
    full: { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  };
  return new Intl.DateTimeFormat("en-GB", { ...styles[style], timeZone: zone }).format(new Date(seconds * 1000));
}
