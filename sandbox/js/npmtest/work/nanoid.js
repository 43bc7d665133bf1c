import { customAlphabet, nanoid } from "nanoid";

export async function work() {
  const ids = Array.from({ length: 500 }, () => nanoid());
  const short = customAlphabet("ab", 12);
  return { length: ids[0].length, different: new Set(ids).size, alphabet: ids.every((id) => /^[\w-]{21}$/.test(id)), short: /^[ab]{12}$/.test(short()), size: nanoid(5).length };
}
