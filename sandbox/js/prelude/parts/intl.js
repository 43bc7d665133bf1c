// Intl, in small: American English, and every time zone. What another locale would
// say differently is said in en-US, as the standard does for locales that are not
// there; options that are not there are refused. The host knows the time zones.
import {
  abs, bare, construct, dateValue, defineProperty, floor, includes, join, listOf, map, now, padStart, push, sort, str, strEndsWith, strSlice, strSplit, strStartsWith, tag, test, toLowerCase, normalize, toUpperCase,
} from "../core/primordials.js";
import { ask } from "../core/host.js";

const locale = "en-US";

// canonical checks what is given for locales.
function canonical(locales) {
  if (locales === undefined) return [];
  const list = typeof locales === "string" ? [locales] : listOf(locales, "locales are a string or a list of strings");
  return map(list, (l) => {
    const s = str(l);
    if (test(/^[a-z]{2,8}([-_][a-z0-9]{1,8})*$/i, s) === null) throw new RangeError(`Incorrect locale information provided: ${strSlice(s, 0, 40)}`);
    const parts = strSplit(s, "-");
    return join(map(parts, (p, i) => (i === 0 ? toLowerCase(p) : p.length === 2 ? toUpperCase(p) : p.length === 4 && i === 1 ? toUpperCase(p[0]) + toLowerCase(strSlice(p, 1)) : toLowerCase(p))), "-");
  });
}

// service makes a class of Intl, which can be called without new, too.
function service(name, Class, callable) {
  const F = function (...args) {
    if (new.target === undefined && !callable) throw new TypeError(`Constructor Intl.${name} requires 'new'`);
    return construct(Class, args, new.target ?? F);
  };
  F.prototype = Class.prototype;
  defineProperty(F, "prototype", { __proto__: null, writable: false });
  defineProperty(Class.prototype, "constructor", { __proto__: null, value: F, writable: true, configurable: true });
  defineProperty(F, "supportedLocalesOf", {
    __proto__: null, writable: true, configurable: true,
    value(locales) {
      const out = [], list = canonical(locales);
      for (let i = 0; i < list.length; i++) if (list[i] === "en" || strStartsWith(list[i], "en-")) push(out, list[i]);
      return out;
    },
  });
  tag(Class, `Intl.${name}`);
  defineProperty(F, "name", { __proto__: null, value: name, configurable: true });
  defineProperty(F, "length", { __proto__: null, value: 0, configurable: true });
  return F;
}

// option reads one of the values that an option may have.
function option(options, name, values, fallback) {
  const value = options?.[name];
  if (value === undefined) return fallback;
  const text = str(value);
  if (values !== undefined && !includes(values, text)) throw new RangeError(`Value ${strSlice(text, 0, 40)} out of range for Intl options property ${name}`);
  return text;
}

function numberOption(options, name, low, high, fallback) {
  const value = options?.[name];
  if (value === undefined) return fallback;
  if (!(+value >= low && +value <= high)) throw new RangeError(`${name} value is out of range.`);
  return floor(+value);
}

const textOf = (parts) => {
  let s = "";
  for (let i = 0; i < parts.length; i++) s += parts[i].value;
  return s;
};

// ---- dates

const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const american = { __proto__: null, EST: "Eastern Standard", EDT: "Eastern Daylight", CST: "Central Standard", CDT: "Central Daylight", MST: "Mountain Standard", MDT: "Mountain Daylight", PST: "Pacific Standard", PDT: "Pacific Daylight", AKST: "Alaska Standard", AKDT: "Alaska Daylight", HST: "Hawaii-Aleutian Standard", HDT: "Hawaii-Aleutian Daylight" };

// zone checks the name of a time zone; an offset is one, too.
function zoneOf(name) {
  const offset = test(/^([+-])(\d{2}):?(\d{2})?$/, name);
  if (offset !== null) return `${offset[1]}${offset[2]}:${offset[3] ?? "00"}`;
  const lower = toLowerCase(name);
  if (lower === "utc" || lower === "gmt" || lower === "etc/utc" || lower === "etc/gmt") return lower === "gmt" ? "GMT" : "UTC";
  atZone(name, 0);
  return name;
}

// atZone returns the offset in minutes and the zone's abbreviation at a time.
function atZone(zone, ms) {
  if (zone === "UTC" || zone === "GMT") return { __proto__: null, offset: 0, short: "UTC" };
  const fixed = test(/^([+-])(\d{2}):(\d{2})$/, zone);
  if (fixed !== null) return { __proto__: null, offset: (fixed[1] === "-" ? -1 : 1) * (+fixed[2] * 60 + +fixed[3]), short: "" };
  const answer = strSplit(ask("zone_at", zone, `${floor(ms / 1000)}`), "\n");
  return { __proto__: null, offset: +answer[0] / 60, short: answer[1] };
}

function offsetName(minutes, long) {
  if (minutes === 0) return long ? "GMT+00:00" : "GMT+0";
  const m = abs(minutes) % 60, h = floor(abs(minutes) / 60);
  const sign = minutes < 0 ? "-" : "+";
  return long ? `GMT${sign}${padStart(`${h}`, 2, "0")}:${padStart(`${m}`, 2, "0")}` : `GMT${sign}${h}${m === 0 ? "" : `:${padStart(`${m}`, 2, "0")}`}`;
}

function zoneName(style, zone, at) {
  if (style === "shortOffset") return offsetName(at.offset, false);
  if (style === "longOffset") return offsetName(at.offset, true);
  const long = style === "long" || style === "longGeneric";
  if (zone === "UTC" || zone === "GMT") return long ? (zone === "GMT" ? "Greenwich Mean Time" : "Coordinated Universal Time") : zone;
  if (american[at.short] !== undefined && (strStartsWith(zone, "America/") || strStartsWith(zone, "US/") || strStartsWith(zone, "Pacific/"))) return long ? `${american[at.short]} Time` : at.short;
  if (at.offset === 0) return long ? "Greenwich Mean Time" : "GMT";
  return offsetName(at.offset, long);
}

// civil takes a time apart. The calendar is the Gregorian one, also before there was
// one.
function civil(ms, offset) {
  const local = ms + offset * 60000, days = floor(local / 86400000), rest = local - days * 86400000;
  const z = days + 719468, era = floor(z / 146097), doe = z - era * 146097;
  const yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365);
  const doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100)), mp = floor((5 * doy + 2) / 153);
  const month = mp < 10 ? mp + 2 : mp - 10;
  return {
    __proto__: null, year: yoe + era * 400 + (month <= 1 ? 1 : 0), month, day: doy - floor((153 * mp + 2) / 5) + 1, weekday: ((days % 7) + 11) % 7,
    hour: floor(rest / 3600000), minute: floor(rest / 60000) % 60, second: floor(rest / 1000) % 60, ms: floor(rest % 1000),
  };
}

const widths = ["narrow", "short", "long"], digits = ["numeric", "2-digit"], styles = ["full", "long", "medium", "short"];
const dateFields = ["weekday", "era", "year", "month", "day"], timeFields = ["hour", "minute", "second"];
const dateStyles = { __proto__: null, full: { weekday: "long", year: "numeric", month: "long", day: "numeric" }, long: { year: "numeric", month: "long", day: "numeric" }, medium: { year: "numeric", month: "short", day: "numeric" }, short: { year: "2-digit", month: "numeric", day: "numeric" } };
const timeStyles = { __proto__: null, full: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "long" }, long: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "short" }, medium: { hour: "numeric", minute: "2-digit", second: "2-digit" }, short: { hour: "numeric", minute: "2-digit" } };

const name = (text, width) => (width === "long" ? text : width === "narrow" ? text[0] : strSlice(text, 0, 3));
const digitsOf = (n, width) => (width === "2-digit" ? padStart(`${n % 100}`, 2, "0") : `${n}`);

class DateTimeFormat {
  #f = { __proto__: null }; #zone; #cycle; #dateStyle; #timeStyle; #fraction; #format;
  constructor(locales, options, required = "any", defaults = "date") {
    canonical(locales);
    const f = this.#f;
    f.weekday = option(options, "weekday", widths);
    f.era = option(options, "era", widths);
    f.year = option(options, "year", digits);
    f.month = option(options, "month", ["numeric", "2-digit", "narrow", "short", "long"]);
    f.day = option(options, "day", digits);
    f.hour = option(options, "hour", digits);
    f.minute = option(options, "minute", digits);
    f.second = option(options, "second", digits);
    this.#fraction = numberOption(options, "fractionalSecondDigits", 1, 3, undefined);
    f.timeZoneName = option(options, "timeZoneName", ["short", "long", "shortOffset", "longOffset", "shortGeneric", "longGeneric"]);
    if (option(options, "dayPeriod") !== undefined) throw new RangeError("dayPeriod is not supported here: AM and PM come with the hour");
    this.#zone = zoneOf(option(options, "timeZone", undefined, "UTC"));
    const hour12 = options?.hour12, cycle = option(options, "hourCycle", ["h11", "h12", "h23", "h24"]);
    this.#cycle = hour12 === undefined ? cycle ?? "h12" : hour12 ? "h12" : "h24";
    this.#dateStyle = option(options, "dateStyle", styles);
    this.#timeStyle = option(options, "timeStyle", styles);
    let date = false, time = this.#fraction !== undefined;
    for (let i = 0; i < dateFields.length; i++) date ||= f[dateFields[i]] !== undefined && dateFields[i] !== "era";
    for (let i = 0; i < timeFields.length; i++) time ||= f[timeFields[i]] !== undefined;
    if (this.#dateStyle !== undefined || this.#timeStyle !== undefined) {
      if (date || time || f.timeZoneName !== undefined) throw new TypeError("dateStyle and timeStyle go with no other fields");
      if (required === "date" && this.#timeStyle !== undefined || required === "time" && this.#dateStyle !== undefined) throw new TypeError("this style does not go with the method");
      set(f, dateStyles[this.#dateStyle]);
      set(f, timeStyles[this.#timeStyle]);
      return;
    }
    if ((required === "date" || required === "any") && date || (required === "time" || required === "any") && time) return;
    if (defaults !== "time") f.year = f.month = f.day = "numeric";
    if (defaults !== "date") f.hour = f.minute = f.second = "numeric";
  }
  get format() { return (this.#format ??= (date) => textOf(this.#parts(date))); }
  formatToParts(date) { return map(this.#parts(date), (p) => ({ type: p.type, value: p.value })); }
  formatRange(from, to) { return `${textOf(this.#parts(from))} \u2013 ${textOf(this.#parts(to))}`; }
  #parts(date) {
    let ms = date === undefined ? now() : undefined;
    if (ms === undefined) {
      try {
        ms = dateValue(date);
      } catch {
        ms = +date;
      }
    }
    if (!(abs(ms) <= 8.64e15)) throw new RangeError("Invalid time value");
    const f = this.#f, at = atZone(this.#zone, ms), c = civil(ms, at.offset), out = bare([]);
    const add = (type, value) => push(out, { __proto__: null, type, value });
    const literal = (value) => add("literal", value);
    const year = () => add("year", digitsOf(c.year > 0 ? c.year : f.era === undefined ? c.year : 1 - c.year, f.year));
    const words = f.month === "long" || f.month === "short" || f.month === "narrow";
    const day = () => add("day", digitsOf(c.day, f.day));
    if (f.weekday !== undefined && f.day !== undefined && f.month === undefined && f.year === undefined) {
      day();
      literal(" ");
      add("weekday", name(weekdays[c.weekday], f.weekday));
    } else {
      if (f.weekday !== undefined) {
        add("weekday", name(weekdays[c.weekday], f.weekday));
        if (f.month !== undefined || f.day !== undefined || f.year !== undefined) literal(", ");
      }
      if (words) {
        add("month", name(months[c.month], f.month));
        if (f.day !== undefined) literal(" "), day();
        if (f.year !== undefined) literal(f.day !== undefined ? ", " : " "), year();
      } else {
        if (f.month !== undefined) add("month", digitsOf(c.month + 1, f.month));
        if (f.day !== undefined) {
          if (f.month !== undefined) literal("/");
          day();
        }
        if (f.year !== undefined) {
          if (f.month !== undefined || f.day !== undefined) literal("/");
          year();
        }
      }
    }
    if (f.era !== undefined) literal(" "), add("era", f.era === "long" ? (c.year > 0 ? "Anno Domini" : "Before Christ") : f.era === "narrow" ? (c.year > 0 ? "A" : "B") : c.year > 0 ? "AD" : "BC");
    const time = f.hour !== undefined || f.minute !== undefined || f.second !== undefined || this.#fraction !== undefined;
    if (time) {
      if (out.length > 0) literal(f.month === "long" && this.#dateStyle !== "medium" && this.#dateStyle !== "short" ? " at " : f.weekday !== undefined && f.month === undefined && f.year === undefined && f.day === undefined ? " " : ", ");
      const half = this.#cycle === "h12" || this.#cycle === "h11";
      if (f.hour !== undefined) {
        let h = half ? c.hour % 12 : c.hour;
        if (h === 0 && this.#cycle === "h12") h = 12;
        if (h === 0 && this.#cycle === "h24") h = 24;
        add("hour", half ? digitsOf(h, f.hour) : padStart(`${h}`, 2, "0"));
      }
      if (f.minute !== undefined) {
        if (f.hour !== undefined) literal(":");
        add("minute", digitsOf(c.minute, f.hour !== undefined || f.second !== undefined ? "2-digit" : "numeric"));
      }
      if (f.second !== undefined) {
        if (f.minute !== undefined || f.hour !== undefined) literal(":");
        add("second", digitsOf(c.second, f.minute !== undefined ? "2-digit" : "numeric"));
      }
      if (this.#fraction !== undefined) {
        if (f.second !== undefined) literal(".");
        add("fractionalSecond", strSlice(padStart(`${c.ms}`, 3, "0"), 0, this.#fraction));
      }
      if (f.hour !== undefined && half) literal(" "), add("dayPeriod", c.hour < 12 ? "AM" : "PM");
    }
    if (f.timeZoneName !== undefined) {
      if (out.length > 0) literal(time ? " " : ", ");
      add("timeZoneName", zoneName(f.timeZoneName, this.#zone, at));
    }
    return out;
  }
  resolvedOptions() {
    const out = { locale, calendar: "gregory", numberingSystem: "latn", timeZone: this.#zone }, f = this.#f;
    const put = (key, value) => {
      if (value !== undefined) defineProperty(out, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
    };
    if (f.hour !== undefined) {
      put("hourCycle", this.#cycle);
      put("hour12", this.#cycle === "h12" || this.#cycle === "h11");
    }
    if (this.#dateStyle === undefined && this.#timeStyle === undefined) {
      for (let i = 0; i < dateFields.length; i++) put(dateFields[i], f[dateFields[i]]);
      put("hour", f.hour);
      put("minute", f.minute === undefined || f.hour === undefined ? f.minute : "2-digit");
      put("second", f.second === undefined || f.minute === undefined ? f.second : "2-digit");
      put("fractionalSecondDigits", this.#fraction);
      put("timeZoneName", f.timeZoneName);
    }
    put("dateStyle", this.#dateStyle);
    put("timeStyle", this.#timeStyle);
    return out;
  }
}

function set(fields, from) {
  if (from === undefined) return;
  for (const key in from) fields[key] = from[key];
}

// dateText is what the toLocale methods of Date answer.
export function dateText(date, locales, options, required, defaults) {
  const ms = dateValue(date);
  return ms !== ms ? "Invalid Date" : new DateTimeFormat(locales, options, required, defaults).format(date);
}

// ---- numbers

const symbols = { __proto__: null, USD: "$", EUR: "\u20ac", GBP: "\u00a3", JPY: "\u00a5", INR: "\u20b9", CNY: "CN\u00a5", KRW: "\u20a9", BRL: "R$", CAD: "CA$", AUD: "A$", MXN: "MX$", NZD: "NZ$", HKD: "HK$", TWD: "NT$", ILS: "\u20aa", VND: "\u20ab", PHP: "\u20b1" };
const wholes = ["JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "XPF", "PYG", "RWF"], thousandths = ["BHD", "KWD", "OMR", "JOD", "TND", "IQD", "LYD"];

// decimal is a number as digits and where the point is among them: 0.d1d2... * 10^point.
function decimal(value) {
  const m = test(/^(\d*)\.?(\d*)(?:e([+-]?\d+))?$/, value);
  let all = m[1] + m[2], point = m[1].length + +(m[3] ?? 0);
  let zeros = 0;
  while (zeros < all.length && all[zeros] === "0") zeros++;
  all = strSlice(all, zeros);
  point -= zeros;
  while (strEndsWith(all, "0")) all = strSlice(all, 0, -1);
  return { __proto__: null, all, point: all === "" ? 0 : point };
}

// rounded keeps so many digits, and rounds halves away from zero.
function rounded(d, keep) {
  if (keep >= d.all.length) return d;
  if (keep < 0) return { __proto__: null, all: "", point: 0 };
  const up = d.all[keep] >= "5";
  let all = strSlice(d.all, 0, keep), { point } = d;
  if (up) {
    let i = keep - 1, out = "";
    while (i >= 0 && all[i] === "9") i--;
    for (let j = i + 1; j < keep; j++) out += "0";
    if (i >= 0) all = strSlice(all, 0, i) + `${+all[i] + 1}` + out;
    else {
      all = "1" + out;
      point++;
    }
  }
  while (strEndsWith(all, "0")) all = strSlice(all, 0, -1);
  return { __proto__: null, all, point: all === "" ? 0 : point };
}

class NumberFormat {
  #o = { __proto__: null }; #format;
  constructor(locales, options) {
    canonical(locales);
    const o = this.#o;
    o.style = option(options, "style", ["decimal", "percent", "currency", "unit"], "decimal");
    if (o.style === "unit" || option(options, "notation", undefined, "standard") !== "standard") throw new RangeError("units and notations are not supported here: style is decimal, percent or currency");
    const currency = option(options, "currency");
    o.display = option(options, "currencyDisplay", ["code", "symbol", "narrowSymbol", "name"], "symbol");
    option(options, "currencySign", ["standard"]);
    if (o.style === "currency") {
      if (currency === undefined) throw new TypeError("Currency code is required with currency style.");
      if (test(/^[a-z]{3}$/i, currency) === null) throw new RangeError(`Invalid currency code : ${strSlice(currency, 0, 40)}`);
      if (o.display === "name") throw new RangeError("names of currencies are not supported here");
      o.currency = toUpperCase(currency);
    }
    o.sign = option(options, "signDisplay", ["auto", "never", "always", "exceptZero", "negative"], "auto");
    const grouping = options?.useGrouping;
    o.grouping = grouping === undefined ? true : grouping === "false" ? false : !!grouping;
    const low = o.style !== "currency" ? 0 : includes(wholes, o.currency) ? 0 : includes(thousandths, o.currency) ? 3 : 2;
    o.integers = numberOption(options, "minimumIntegerDigits", 1, 21, 1);
    const least = numberOption(options, "minimumFractionDigits", 0, 100, undefined), most = numberOption(options, "maximumFractionDigits", 0, 100, undefined);
    o.least = least ?? (most === undefined || most >= low ? low : most);
    o.most = most ?? (o.style === "decimal" ? (o.least > 3 ? o.least : 3) : o.least > low ? o.least : low);
    if (o.least > o.most) throw new RangeError("maximumFractionDigits value is out of range.");
    const leastSignificant = numberOption(options, "minimumSignificantDigits", 1, 21, undefined), mostSignificant = numberOption(options, "maximumSignificantDigits", 1, 21, undefined);
    if (leastSignificant !== undefined || mostSignificant !== undefined) {
      o.leastSignificant = leastSignificant ?? 1;
      o.mostSignificant = mostSignificant ?? 21;
      if (o.leastSignificant > o.mostSignificant) throw new RangeError("maximumSignificantDigits value is out of range.");
    }
  }
  get format() { return (this.#format ??= (value) => textOf(this.#parts(value))); }
  formatToParts(value) { return map(this.#parts(value), (p) => ({ type: p.type, value: p.value })); }
  #parts(value) {
    const o = this.#o, out = bare([]);
    const add = (type, text) => push(out, { __proto__: null, type, value: text });
    if (typeof value !== "bigint") value = +value;
    const negative = value < 0 || value === 0 && 1 / Number(value) < 0;
    let text = `${value}`;
    if (strStartsWith(text, "-")) text = strSlice(text, 1);
    let d, whole = "", fraction = "";
    if (text !== "NaN" && text !== "Infinity") {
      d = decimal(text);
      if (o.style === "percent" && d.all !== "") d.point += 2;
      d = rounded(d, o.mostSignificant ?? d.point + o.most);
      for (let i = 0; i < d.point; i++) whole += i < d.all.length ? d.all[i] : "0";
      for (let i = d.point; i < d.all.length; i++) fraction += i < 0 ? "0" : d.all[i];
      let least = o.least;
      if (o.leastSignificant !== undefined) least = d.all === "" ? o.leastSignificant - 1 : o.leastSignificant - d.point;
      while (fraction.length < least) fraction += "0";
      while (whole.length < o.integers) whole = "0" + whole;
    }
    const zero = d !== undefined && d.all === "" || text === "NaN";
    const minus = negative && (o.sign === "auto" || o.sign === "always" || !zero && o.sign !== "never");
    if (minus) add("minusSign", "-");
    else if (!negative && (o.sign === "always" || o.sign === "exceptZero" && !zero)) add("plusSign", "+");
    if (o.style === "currency") {
      const symbol = o.display === "code" ? o.currency : o.display === "narrowSymbol" ? narrow(o.currency) : symbols[o.currency] ?? o.currency;
      add("currency", symbol);
      if (symbol === o.currency) add("literal", "\u00a0");
    }
    if (text === "NaN") add("nan", "NaN");
    else if (text === "Infinity") add("infinity", "\u221e");
    else {
      const first = o.grouping && whole.length > 3 ? whole.length % 3 || 3 : whole.length;
      add("integer", strSlice(whole, 0, first));
      for (let i = first; i < whole.length; i += 3) {
        add("group", ",");
        add("integer", strSlice(whole, i, i + 3));
      }
      if (fraction !== "") {
        add("decimal", ".");
        add("fraction", fraction);
      }
    }
    if (o.style === "percent") add("percentSign", "%");
    return out;
  }
  resolvedOptions() {
    const o = this.#o;
    return {
      locale, numberingSystem: "latn", style: o.style,
      ...(o.style === "currency" && { currency: o.currency, currencyDisplay: o.display, currencySign: "standard" }),
      minimumIntegerDigits: o.integers,
      ...(o.leastSignificant === undefined ? { minimumFractionDigits: o.least, maximumFractionDigits: o.most } : { minimumSignificantDigits: o.leastSignificant, maximumSignificantDigits: o.mostSignificant }),
      useGrouping: o.grouping ? "auto" : false, notation: "standard", signDisplay: o.sign, roundingIncrement: 1, roundingMode: "halfExpand", roundingPriority: "auto", trailingZeroDisplay: "auto",
    };
  }
}
const narrow = (currency) => {
  const symbol = symbols[currency];
  return symbol === undefined ? currency : symbol[symbol.length - 1] === "$" ? "$" : symbol[symbol.length - 1];
};

export const numberText = (value, locales, options) => new NumberFormat(locales, options).format(value);

// ---- words

class PluralRules {
  #ordinal; #numbers;
  constructor(locales, options) {
    this.#ordinal = option(options, "type", ["cardinal", "ordinal"], "cardinal") === "ordinal";
    this.#numbers = new NumberFormat(locales, options);
  }
  select(n) {
    n = +n;
    if (!this.#ordinal) return this.#numbers.format(n) === "1" ? "one" : "other";
    const tens = abs(n) % 100, ones = abs(n) % 10;
    return ones === 1 && tens !== 11 ? "one" : ones === 2 && tens !== 12 ? "two" : ones === 3 && tens !== 13 ? "few" : "other";
  }
  resolvedOptions() { return { locale, type: this.#ordinal ? "ordinal" : "cardinal", pluralCategories: this.#ordinal ? ["few", "one", "two", "other"] : ["one", "other"] }; }
}

const units = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

class RelativeTimeFormat {
  #auto; #numbers = new NumberFormat();
  constructor(locales, options) {
    canonical(locales);
    option(options, "style", ["long"]);
    this.#auto = option(options, "numeric", ["always", "auto"], "always") === "auto";
  }
  format(value, unit) {
    value = +value;
    unit = str(unit);
    if (strEndsWith(unit, "s")) unit = strSlice(unit, 0, -1);
    if (!includes(units, unit)) throw new RangeError(`Invalid unit argument for format() '${strSlice(unit, 0, 40)}'`);
    if (!(abs(value) < Infinity)) throw new RangeError("The value is not finite");
    const past = value < 0 || value === 0 && 1 / value < 0;
    if (this.#auto && (value === 0 || abs(value) === 1)) {
      if (unit === "second" && value === 0) return "now";
      if (unit === "day") return value === 0 ? "today" : past ? "yesterday" : "tomorrow";
      if (value === 0) return `this ${unit}`;
      if (unit !== "second" && unit !== "minute" && unit !== "hour") return `${past ? "last" : "next"} ${unit}`;
    }
    const text = `${this.#numbers.format(abs(value))} ${unit}${abs(value) === 1 ? "" : "s"}`;
    return past ? `${text} ago` : `in ${text}`;
  }
  resolvedOptions() { return { locale, style: "long", numeric: this.#auto ? "auto" : "always", numberingSystem: "latn" }; }
}

class ListFormat {
  #type;
  constructor(locales, options) {
    canonical(locales);
    option(options, "style", ["long"]);
    this.#type = option(options, "type", ["conjunction", "disjunction", "unit"], "conjunction");
  }
  format(items) {
    const list = listOf(items, "format takes a list of strings"), n = list.length;
    const word = this.#type === "unit" ? "" : this.#type === "disjunction" ? "or " : "and ";
    let text = "";
    for (let i = 0; i < n; i++) {
      if (typeof list[i] !== "string") throw new TypeError("format takes a list of strings");
      if (i > 0) text += n === 2 && word !== "" ? " " : ", ";
      if (i > 0 && i === n - 1) text += word;
      text += list[i];
    }
    return text;
  }
  resolvedOptions() { return { locale, type: this.#type, style: "long" }; }
}

class Collator {
  #sensitivity; #numeric; #usage; #compare;
  constructor(locales, options) {
    canonical(locales);
    this.#usage = option(options, "usage", ["sort", "search"], "sort");
    this.#sensitivity = option(options, "sensitivity", ["base", "accent", "case", "variant"], "variant");
    this.#numeric = !!options?.numeric;
  }
  get compare() { return (this.#compare ??= (a, b) => this.#order(str(a), str(b))); }
  // Letters come before their marks, and both before case; what is no letter or digit
  // comes first.
  #order(a, b) {
    const x = this.#keys(a), y = this.#keys(b);
    for (let level = 0; level < 3; level++) {
      if (level === 1 && (this.#sensitivity === "base" || this.#sensitivity === "case")) continue;
      if (level === 2 && (this.#sensitivity === "base" || this.#sensitivity === "accent")) continue;
      const p = x[level], q = y[level];
      for (let i = 0; i < p.length || i < q.length; i++) {
        if (i >= p.length) return -1;
        if (i >= q.length) return 1;
        if (p[i] < q[i]) return -1;
        if (p[i] > q[i]) return 1;
      }
    }
    return 0;
  }
  #keys(s) {
    const first = bare([]), second = bare([]), third = bare([]), plain = normalize(s, "NFD");
    for (let i = 0; i < plain.length; i++) {
      const c = plain[i];
      if (test(/^\p{M}$/u, c) !== null) {
        if (second.length > 0) second[second.length - 1] += c;
        continue;
      }
      let digits = "";
      if (this.#numeric) while (i < plain.length && plain[i] >= "0" && plain[i] <= "9") digits += plain[i++];
      if (digits !== "") {
        i--;
        while (digits.length > 1 && digits[0] === "0") digits = strSlice(digits, 1);
        push(first, `1${padStart(`${digits.length}`, 8, "0")}${digits}`);
      } else {
        const letter = toLowerCase(c);
        push(first, (c >= "0" && c <= "9" ? "1" : test(/^\p{L}$/u, c) !== null ? "2" : "0") + letter);
      }
      push(second, "");
      push(third, c === toLowerCase(c) ? 0 : 1);
    }
    return [first, second, third];
  }
  resolvedOptions() { return { locale, usage: this.#usage, sensitivity: this.#sensitivity, ignorePunctuation: false, collation: "default", numeric: this.#numeric, caseFirst: "false" }; }
}

export const Intl = {};
const services = [["DateTimeFormat", DateTimeFormat, true], ["NumberFormat", NumberFormat, true], ["Collator", Collator, true], ["PluralRules", PluralRules], ["RelativeTimeFormat", RelativeTimeFormat], ["ListFormat", ListFormat]];
for (let i = 0; i < services.length; i++) {
  const s = services[i];
  defineProperty(Intl, s[0], { __proto__: null, value: service(s[0], s[1], s[2] === true), writable: true, configurable: true });
}
defineProperty(Intl, "getCanonicalLocales", { __proto__: null, value: (locales) => canonical(locales), writable: true, configurable: true });
defineProperty(Intl, Symbol.toStringTag, { __proto__: null, value: "Intl", configurable: true });
