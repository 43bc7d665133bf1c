import { DateTime, Duration, Interval, Settings } from "luxon";

export async function work() {
  Settings.defaultZone = "utc";
  const d = DateTime.fromISO("2024-02-29T12:34:56.789Z", { zone: "utc" });
  return [
    d.toISO(), d.plus({ months: 1, days: 1 }).toISODate(), d.setZone("UTC+5:30").toISO(), d.weekNumber, d.diff(DateTime.fromISO("2023-12-31", { zone: "utc" }), ["days", "hours"]).toObject(),
    Duration.fromISO("P1DT2H").as("hours"), Interval.after(d, { hours: 2 }).toISO(), d.startOf("week").toISODate(), d.toFormat("yyyy-MM-dd HH:mm:ss ZZ"), DateTime.fromFormat("01/03/2024", "dd/MM/yyyy", { zone: "utc" }).toISODate(),
    DateTime.fromISO("nonsense").isValid, d.toUnixInteger(), d.toHTTP(), d.setZone("America/New_York").toISO(), DateTime.fromISO("2024-03-10T02:30", { zone: "America/New_York" }).toISO(), d.toFormat("LLLL d, cccc, h:mm a"), d.setZone("Europe/Berlin").offset, d.toLocaleString(DateTime.DATETIME_MED).replace("\u202f", " "), d.toRelative({ base: d.plus({ days: 3 }) }), d.setZone("No/Where").isValid,
  ];
}
