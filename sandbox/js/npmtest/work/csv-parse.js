import { parse } from "csv-parse/browser/esm/sync";

export async function work() {
  const text = 'id,name,note\n1,"Ada ""the"" first","line\nbreak"\n2,Grace,\n';
  let failed;
  try {
    parse('a,b\n1,"x', { columns: true });
  } catch (error) {
    failed = [error.code, error instanceof Error];
  }
  return { rows: parse(text, { columns: true, cast: (v, c) => (c.column === "id" && !c.header ? +v : v) }), lists: parse("a;b\n 1 ;2", { delimiter: ";", trim: true }), info: parse("a\n1", { info: true }).length, bytes: parse(new TextEncoder().encode("x,ü\n1,2"), { columns: true }), failed };
}
