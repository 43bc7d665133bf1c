import dayjs from "dayjs";
import "dayjs/locale/de.js";
import duration from "dayjs/plugin/duration.js";
import relativeTime from "dayjs/plugin/relativeTime.js";
import utc from "dayjs/plugin/utc.js";
import isoWeek from "dayjs/plugin/isoWeek.js";

dayjs.extend(utc);
dayjs.extend(duration);
dayjs.extend(relativeTime);
dayjs.extend(isoWeek);

export async function work() {
  const d = dayjs.utc("2024-02-29T12:34:56.789Z");
  return [
    d.format("YYYY-MM-DD[T]HH:mm:ss.SSS Z dddd MMM"), d.add(1, "year").toISOString(), d.diff(dayjs.utc("2023-12-31"), "day"), d.isoWeek(), d.locale("de").format("dddd, D. MMMM"),
    dayjs.duration(90061, "seconds").format("D HH:mm:ss"), d.from(dayjs.utc("2024-03-05")), dayjs("nonsense").isValid(), d.endOf("month").unix(), dayjs.utc(0).isBefore(d),
  ];
}
