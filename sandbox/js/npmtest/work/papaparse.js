import Papa from "papaparse";

export async function work() {
  const csv = 'id,name,note\r\n1,Ada,"said ""hi"", left"\r\n2,Bob,"two\nlines"\r\n3,,\r\nbroken,"x\r\n';
  const rows = Papa.parse(csv, { header: true, dynamicTyping: true, skipEmptyLines: true });
  const stepped = [];
  Papa.parse("a;b\n1;2\n3;4", { delimiter: "", step: (r) => stepped.push(r.data) });
  const big = Papa.parse(Array.from({ length: 2000 }, (_, i) => `${i},row ${i},${i * i}`).join("\n"));
  return { data: rows.data, errors: rows.errors, fields: rows.meta.fields, stepped, big: [big.data.length, big.data[1999]], out: Papa.unparse([{ a: 1, b: 'x"y' }, { a: null, b: "c,d" }]) };
}
