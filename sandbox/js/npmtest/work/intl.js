import dayjs from "dayjs";
import timezone from "dayjs/plugin/timezone.js";
import utc from "dayjs/plugin/utc.js";

dayjs.extend(utc);
dayjs.extend(timezone);

// American English in all time zones.
export async function work() {
  const out = [];
  const attempt = (f) => {
    try {
      return f();
    } catch (error) {
      return error.name;
    }
  };
  const dates = [new Date("2024-02-29T00:04:05.678Z"), new Date("1999-12-31T23:59:59Z"), new Date("2024-07-04T15:30:00Z"), new Date("1985-06-15T12:00:00Z")];
  const options = [
    {}, { dateStyle: "full", timeStyle: "long" }, { dateStyle: "long", timeStyle: "short" }, { dateStyle: "medium", timeStyle: "medium" }, { dateStyle: "short", timeStyle: "short" }, { dateStyle: "full" }, { timeStyle: "medium" }, { weekday: "long" },
    { weekday: "short", month: "short", day: "numeric" }, { weekday: "long", year: "numeric", month: "long", day: "numeric" }, { weekday: "short", year: "numeric", month: "2-digit", day: "2-digit" }, { month: "long" }, { month: "2-digit", day: "2-digit" },
    { year: "numeric", month: "short" }, { year: "2-digit", month: "numeric", day: "numeric" }, { hour: "numeric" }, { hour: "2-digit", minute: "2-digit" }, { hour: "2-digit", minute: "2-digit", hour12: false }, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    { hour: "numeric", minute: "numeric", second: "numeric", fractionalSecondDigits: 3 }, { minute: "2-digit", second: "2-digit" }, { hour: "numeric", timeZoneName: "shortOffset" }, { timeZoneName: "longOffset" }, { year: "numeric", month: "long", day: "numeric", hour: "numeric", minute: "2-digit" },
    { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" }, { hour12: false, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" }, { year: "numeric" }, { day: "2-digit" }, { weekday: "long", hour: "numeric" }, { weekday: "nonsense" }, { timeZone: "No/Where" }, { timeZone: "../etc/passwd" },
  ];
  for (const timeZone of ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Argentina/Buenos_Aires"]) {
    for (const o of options) {
      const format = attempt(() => new Intl.DateTimeFormat("en-US", { timeZone, ...o }));
      out.push(typeof format === "string" ? format : dates.map((d) => format.format(d)).join("|"));
    }
    out.push(dates.map((d) => [d.toLocaleString("en-US", { timeZone }), d.toLocaleDateString("en-US", { timeZone }), d.toLocaleTimeString("en-US", { timeZone }), d.toLocaleDateString("en-US", { timeZone, hour: "numeric" })]));
    out.push(["America/New_York", "UTC"].includes(timeZone) && ["short", "long"].map((timeZoneName) => new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName }).format(dates[2])));
    out.push(new Intl.DateTimeFormat("en-US", { timeZone, dateStyle: "long", timeStyle: "short" }).formatToParts(dates[0]).map((p) => [p.type, p.value.replace("\u202f", " ")]), { ...new Intl.DateTimeFormat("en-US", { timeZone, hour: "numeric", minute: "numeric" }).resolvedOptions(), timeZone: "" }); // node has older names for some zones
  }
  const numbers = [
    [1234567.891], [0.256, { style: "percent" }], [0.2567, { style: "percent", maximumFractionDigits: 1 }], [-5.5, { style: "currency", currency: "USD" }], [5, { style: "currency", currency: "EUR" }], [5e6, { style: "currency", currency: "jpy" }], [5, { style: "currency", currency: "CHF" }], [1.005, { style: "currency", currency: "USD", minimumFractionDigits: 0 }],
    [5, { style: "currency", currency: "USD", currencyDisplay: "code" }], [1e21], [NaN], [Infinity], [-Infinity], [1.005, { maximumFractionDigits: 2 }], [0.000001], [12345.6789, { maximumSignificantDigits: 3 }], [0.00123456, { maximumSignificantDigits: 2 }], [5, { minimumSignificantDigits: 4 }], [5, { minimumIntegerDigits: 2 }], [1234.5, { useGrouping: false, minimumFractionDigits: 2 }],
    [-0], [-0.001, { maximumFractionDigits: 1 }], [123456789012345678901234567890n], [2.5, { maximumFractionDigits: 0 }], [999.9999], [0.5, { maximumFractionDigits: 0 }], [5, { signDisplay: "always" }], [0, { signDisplay: "exceptZero" }], [1e-7, { maximumFractionDigits: 10 }], [5, { style: "currency" }], [1, { maximumFractionDigits: 101 }], [1, { minimumFractionDigits: 3, maximumFractionDigits: 1 }], ["12.5"], [null],
  ];
  for (const [v, o] of numbers) out.push(attempt(() => new Intl.NumberFormat("en-US", o).format(v)), attempt(() => v.toLocaleString("en-US", o)));
  out.push(new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" }).formatToParts(-1234.5), new Intl.NumberFormat().resolvedOptions().maximumFractionDigits);
  const plural = new Intl.PluralRules("en-US"), ordinal = new Intl.PluralRules("en-US", { type: "ordinal" });
  out.push([0, 1, 2, 1.5, 11, 21, 22, 23, 113].map((n) => [plural.select(n), ordinal.select(n)]));
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  out.push([[-1, "day"], [1, "day"], [0, "second"], [3, "weeks"], [-2, "hour"], [1, "month"], [-1, "minute"], [1500, "years"]].map((a) => [relative.format(...a), new Intl.RelativeTimeFormat("en").format(...a)]));
  out.push(["conjunction", "disjunction", "unit"].map((type) => [[], ["a"], ["a", "b"], ["a", "b", "c"]].map((l) => new Intl.ListFormat("en", { type }).format(l))));
  out.push(["b", "a", "Z", "ä", "A", "a10", "a9", "_", "1", "é", "e", "E"].sort(new Intl.Collator("en", { numeric: true }).compare), new Intl.Collator("en", { sensitivity: "base" }).compare("Résumé", "resume"), ["ab", "Ab", "aB"].sort(new Intl.Collator().compare));
  out.push(Intl.DateTimeFormat().resolvedOptions().timeZone, Intl.getCanonicalLocales(["EN-us", "zh-hans-cn"]), Intl.DateTimeFormat.supportedLocalesOf(["en-GB"]), attempt(() => new Intl.NumberFormat("x_y!")), Object.prototype.toString.call(Intl), String(new Date(NaN).toLocaleString()));
  const d = dayjs.tz("2024-03-10 01:30", "America/New_York");
  out.push(d.toISOString(), d.add(1, "hour").format("YYYY-MM-DD HH:mm Z"), dayjs.utc("2024-07-01T12:00:00Z").tz("Asia/Tokyo").format(), dayjs.tz.guess());
  return out;
}
