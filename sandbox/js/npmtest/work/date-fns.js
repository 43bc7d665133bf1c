import { addMonths, differenceInBusinessDays, eachDayOfInterval, format, formatDistance, formatISO, getISOWeek, intervalToDuration, parse, parseISO } from "date-fns";
import { de } from "date-fns/locale";

export async function work() {
  const a = parseISO("2024-01-31T10:20:30Z"), b = parseISO("2024-03-10T00:00:00Z");
  return {
    added: formatISO(addMonths(a, 1)), formatted: format(a, "EEEE, do MMMM yyyy 'at' HH:mm:ss.SSS"), german: format(a, "PPPP", { locale: de }), distance: formatDistance(a, b, { addSuffix: true }),
    business: differenceInBusinessDays(b, a), week: getISOWeek(b), duration: intervalToDuration({ start: a, end: b }), days: eachDayOfInterval({ start: a, end: addMonths(a, 1) }).length,
    parsed: parse("02/11/2014", "MM/dd/yyyy", new Date(0)).toISOString(),
  };
}
