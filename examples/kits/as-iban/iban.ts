// as-iban checks an IBAN: {"iban":"DE89 3704 0044 0532 0130 00"} in the request's body
// or the payload. Characters, length of the country, and the remainder of 97.
import { run, fail, log, Level, jsonGet, jsonText, jsonQuote } from "../../../sdk/assemblyscript/runnel";
export { runnel_alloc } from "../../../sdk/assemblyscript/runnel";

export function handler(ptr: usize, len: usize): u64 {
  return run(ptr, len, handle);
}

const LENGTHS = "AT20 BE16 CH21 CZ24 DE22 DK18 ES24 FI18 FR27 GB22 IE22 IT27 LU20 NL18 NO15 PL28 PT25 SE24 ";

function handle(event: string): string {
  let order = jsonGet(event, "body");
  if (order === null) order = jsonGet(event, "payload");
  if (order === null) {
    fail("the event has neither a body nor a payload");
    return "";
  }
  const field = jsonGet(order, "iban");
  if (field === null || field.charAt(0) != '"') return invalid("", "there is no string iban");
  const iban = jsonText(field).replaceAll(" ", "").toUpperCase();
  const reason = check(iban);
  if (reason.length > 0) {
    log(Level.Info, "refused: " + reason);
    return invalid(iban, reason);
  }
  return '{"valid":true,"iban":' + jsonQuote(iban) + ',"country":' + jsonQuote(iban.substring(0, 2)) + "}";
}

function invalid(iban: string, reason: string): string {
  return '{"valid":false,"iban":' + jsonQuote(iban) + ',"reason":' + jsonQuote(reason) + "}";
}

function check(iban: string): string {
  for (let i = 0; i < iban.length; i++) {
    const c = iban.charCodeAt(i);
    if (!(c >= 48 && c <= 57) && !(c >= 65 && c <= 90)) return "it has other characters than letters and digits";
  }
  const country = iban.length < 4 ? -1 : LENGTHS.indexOf(iban.substring(0, 2));
  if (country < 0 || country % 5 != 0) return "the country is not known";
  const length = <i32>parseInt(LENGTHS.substring(country + 2, country + 4));
  if (iban.length != length) return "it has " + iban.length.toString() + " characters, not " + length.toString();
  const turned = iban.substring(4) + iban.substring(0, 4);
  let rest = 0;
  for (let i = 0; i < turned.length; i++) {
    const c = turned.charCodeAt(i);
    rest = c >= 65 ? (rest * 100 + c - 55) % 97 : (rest * 10 + c - 48) % 97;
  }
  return rest == 1 ? "" : "the check digits are wrong";
}
