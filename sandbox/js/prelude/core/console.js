// console. A line goes out at once, so that it is kept when the function is
// stopped later.
import { apply, captureStack, hidden, join, mapDelete, mapGet, mapHas, mapSet, now, push, shift, strIncludes, strReplaceAll, strSlice, strSplit } from "./primordials.js";
import { host } from "./host.js";
import { use } from "./parts.js";

// longest bounds one message, in UTF-16 units; the host bounds all of them.
const longest = 64 << 10;

const counts = new Map();
const started = new Map();
let indent = "";

function write(level, args) {
  let text = "";
  // Strings without a % are most of what is logged, and need nothing loaded.
  if (args.length > 0 && typeof args[0] === "string" && (args.length === 1 || !strIncludes(args[0], "%"))) text = args[0];
  else if (args.length > 0) return print(level, use("inspect").format(args));
  for (let i = 1; i < args.length; i++) {
    text += " " + (typeof args[i] === "string" ? args[i] : use("inspect").inspect(args[i]));
  }
  print(level, text);
}

function print(level, text) {
  if (text.length > longest) text = strSlice(text, 0, longest) + `... ${text.length - longest} more characters`;
  if (indent !== "") text = indent + strReplaceAll(text, "\n", "\n" + indent);
  host.log(level, text);
}

const level = (name) => (...args) => write(name, args);

function table(data, columns) {
  if (typeof data !== "object" || data === null) return write("info", [data]);
  print("info", use("inspect").table(data, columns));
}

function labelled(label, args, last) {
  const all = [label];
  for (let i = 0; i < args.length; i++) push(all, args[i]);
  if (last !== undefined) push(all, last);
  return all;
}

function elapsed(label) {
  label = `${label}`;
  if (!mapHas(started, label)) return write("warn", [`Timer '${label}' does not exist`]);
  return now() - mapGet(started, label);
}

const methods = {
  debug: level("debug"),
  log: level("info"),
  info: level("info"),
  warn: level("warn"),
  error: level("error"),
  trace(...args) {
    const at = {};
    captureStack(at);
    const frames = strSplit(`${at.stack}`, "\n");
    shift(frames);
    write("debug", labelled("Trace:", args, "\n" + join(frames, "\n")));
  },
  dir(value, options) { print("info", use("inspect").inspect(value, options)); },
  dirxml: level("info"),
  table,
  assert(ok, ...args) {
    if (ok) return;
    if (args.length > 0 && typeof args[0] === "string") args[0] = `Assertion failed: ${args[0]}`;
    else args = labelled("Assertion failed", args);
    write("error", args);
  },
  count(label = "default") {
    label = `${label}`;
    const n = (mapGet(counts, label) ?? 0) + 1;
    mapSet(counts, label, n);
    print("info", `${label}: ${n}`);
  },
  countReset(label = "default") { mapDelete(counts, `${label}`); },
  time(label = "default") { mapSet(started, `${label}`, now()); },
  timeLog(label = "default", ...args) {
    const ms = elapsed(label);
    if (ms !== undefined) write("info", labelled(`${label}: ${ms}ms`, args));
  },
  timeEnd(label = "default") {
    const ms = elapsed(label);
    if (ms === undefined) return;
    mapDelete(started, `${label}`);
    print("info", `${label}: ${ms}ms`);
  },
  group(...args) {
    if (args.length > 0) write("info", args);
    if (indent.length < 64) indent += "  ";
  },
  groupCollapsed(...args) { apply(methods.group, methods, args); },
  groupEnd() { indent = strSlice(indent, 2); },
  clear() {},
};

hidden(globalThis, { console: methods });
// console is what the prelude itself writes with.
export const console = { __proto__: null, error: methods.error };
