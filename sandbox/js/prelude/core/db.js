// db: SQL on the host, under the invocation's role and claims.
import { bare, bytesOf, captureStack, dateISO, defineProperty, freeze, hidden, isArray, map, own, push, rejected, resolved, setPrototypeOf, then, toHex } from "./primordials.js";
import { host } from "./host.js";

const ObjectPrototype = Object.prototype;

// param makes a value of JavaScript what the host takes: JSON.
function param(value) {
  switch (typeof value) {
    case "string": case "number": case "boolean":
      return typeof value === "number" && (value !== value || value === Infinity || value === -Infinity) ? `${value}` : value;
    case "undefined":
      return null;
    case "bigint":
      return `${value}`;
    case "object": {
      if (value === null) return null;
      try {
        return dateISO(value);
      } catch (error) {
        if (error instanceof RangeError) throw error; // an invalid date
      }
      const bytes = bytesOf(value);
      return bytes === undefined ? value : "\\x" + toHex(bytes);
    }
    default:
      throw new TypeError(`a ${typeof value} cannot be a parameter of SQL: pass a string, number, boolean, null, bigint, Date, Uint8Array, or something that JSON can hold`);
  }
}

// statement returns {sql, params} for everything that db.query takes.
function statement(args) {
  const first = args[0];
  let sql = first;
  const params = bare([]);
  if (isArray(first) && isArray(first.raw)) { // db.query`select ${x}`
    sql = first[0];
    for (let i = 1; i < first.length; i++) sql += `$${i}` + first[i];
  } else if (typeof first !== "string") {
    throw new TypeError("db.query takes SQL as a string, and its parameters after it: db.query('select $1', 1), or db.query`select ${1}`");
  }
  for (let i = 1; i < args.length; i++) push(params, param(args[i]));
  return { __proto__: null, sql, params };
}

// rows turns the host's answer into an array of objects. The array also has rows
// (itself), columns and rowCount. Two columns of one name: the last one stays.
function rows(answer) {
  const { columns, rows, row_count } = answer;
  const width = columns.length;
  const names = map(columns, (c) => c.name);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    // Without a prototype, no setter that somebody put on Object.prototype runs.
    const object = { __proto__: null };
    for (let j = 0; j < width; j++) object[names[j]] = row[j];
    rows[i] = setPrototypeOf(object, ObjectPrototype);
  }
  return hidden(rows, { rows, columns, rowCount: row_count });
}

// send asks the host, and gives a failure the stack of the call that led to it.
function send(value, read) {
  const at = { __proto__: null };
  captureStack(at, query);
  return then(own(host.send("db_query", value, at.stack)), read, (error) => {
    defineProperty(error, "stack", { __proto__: null, value: at.stack, writable: true, configurable: true });
    throw error;
  });
}

function query(...args) {
  try {
    return send(statement(args), rows);
  } catch (error) {
    return rejected(error);
  }
}

// withParams is {sql, params} as the arguments of db.query.
function withParams({ sql, params }) {
  const args = [sql];
  if (params !== undefined && params !== null) for (let i = 0; i < params.length; i++) push(args, params[i]);
  return args;
}

function batch(statements) {
  try {
    if (!isArray(statements)) throw new TypeError("db.batch takes an array of statements: db.batch([db.sql`...`, ['select $1', 1], {sql: '...', params: []}])");
    const list = bare([]);
    for (let i = 0; i < statements.length; i++) {
      const s = statements[i];
      if (typeof s === "string") push(list, statement([s]));
      else if (isArray(s)) push(list, statement(s));
      else if (typeof s === "object" && s !== null) push(list, statement(withParams(s)));
      else throw new TypeError(`statement ${i} of db.batch is a ${typeof s}: pass a string, an array or {sql, params}`);
    }
    if (list.length === 0) return resolved([]);
    return send({ __proto__: null, batch: list }, (answer) => {
      const { results } = answer;
      for (let i = 0; i < results.length; i++) results[i] = rows(results[i]);
      return results;
    });
  } catch (error) {
    return rejected(error);
  }
}

hidden(globalThis, {
  db: freeze({
    query,
    batch,
    sql(...args) { return statement(args); },
  }),
});
