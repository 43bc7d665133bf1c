import superjson from "superjson";

class Money { constructor(n = 0) { this.n = n; } double() { return this.n * 2; } }

export async function work() {
  superjson.registerClass(Money);
  const shared = { s: 1 };
  const value = { date: new Date(0), big: 12345678901234567890n, map: new Map([["k", new Set([1, "a"])]]), re: /a+/gi, none: undefined, nan: NaN, url: new URL("https://example.com/a?b=c"), error: new RangeError("far"), money: new Money(21), one: shared, two: shared };
  const text = superjson.stringify(value), back = superjson.parse(text);
  return { text: JSON.parse(text), doubled: back.money.double(), same: back.one === back.two, host: back.url.host, map: [...back.map.get("k")], error: [back.error instanceof Error, back.error.name], big: String(back.big), nan: Number.isNaN(back.nan) };
}
