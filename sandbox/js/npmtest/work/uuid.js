import { parse, stringify, v1, v3, v4, v5, v7, validate, version } from "uuid";

export async function work() {
  const ids = [v1(), v4(), v4(), v7()];
  return {
    named: [v3("hello", v3.DNS), v5("hello", v5.URL)], versions: ids.map(version), valid: ids.every(validate), different: new Set(ids).size,
    bytes: [...parse("6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b")], again: stringify(parse("6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b")), ordered: [v7(), v7(), v7()].every((id, i, all) => i === 0 || all[i - 1] < id),
  };
}
