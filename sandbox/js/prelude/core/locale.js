// The methods of dates and numbers that Intl answers. The engine's own take no
// locale and no time zone, and say nothing of it. Their length is 0.
import { hidden } from "./primordials.js";
import { use } from "./parts.js";

const big = BigInt.prototype.valueOf, number = Number.prototype.valueOf;
const { apply } = Reflect;

hidden(Date.prototype, {
  toLocaleString(locales = undefined, options = undefined) { return use("intl").dateText(this, locales, options, "any", "all"); },
  toLocaleDateString(locales = undefined, options = undefined) { return use("intl").dateText(this, locales, options, "date", "date"); },
  toLocaleTimeString(locales = undefined, options = undefined) { return use("intl").dateText(this, locales, options, "time", "time"); },
});
hidden(Number.prototype, { toLocaleString(locales = undefined, options = undefined) { return use("intl").numberText(apply(number, this, []), locales, options); } });
hidden(BigInt.prototype, { toLocaleString(locales = undefined, options = undefined) { return use("intl").numberText(apply(big, this, []), locales, options); } });
