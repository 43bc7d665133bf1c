import { chunk, cloneDeep, debounce, defaultsDeep, groupBy, isEqual, merge, orderBy, template, words } from "lodash-es";

export async function work() {
  const people = [{ n: "Ada", team: { id: 1 }, age: 36 }, { n: "Bob", team: { id: 2 }, age: 20 }, { n: "Cy", team: { id: 1 }, age: 20 }];
  const copy = cloneDeep({ date: new Date(0), map: new Map([["k", new Set([1])]]), re: /x/gi, typed: new Uint8Array([1, 2]) });
  let calls = 0;
  const later = debounce(() => calls++, 5);
  later();
  later();
  await new Promise((resolve) => setTimeout(resolve, 30));
  // A key such as __proto__ in what is merged must reach no prototype.
  merge({}, JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'));
  return {
    grouped: groupBy(people, "team.id"), ordered: orderBy(people, ["age", "n"], ["asc", "desc"]).map((p) => p.n), chunks: chunk([1, 2, 3, 4, 5], 2),
    defaults: defaultsDeep({ a: { b: 1 } }, { a: { b: 2, c: 3 } }), equal: isEqual(copy, cloneDeep(copy)), map: [...copy.map.keys()], words: words("fred, barney & pebbles"),
    text: template("hello <%= user %>!")({ user: "fred" }), calls, polluted: {}.polluted === undefined,
  };
}
