// Values as text, the way node's util.inspect prints them, within bounds: a value
// that a guest logs may be deep, huge, cyclic or a trap.
import {
  apply, bare, floor, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, includes, indexOf, isArray, isBuffer, isError, join, keys, map, mapForEach, mapSize, max, min, ownKeys, padEnd, padStart, pop, push, repeat, round, setForEach, setSize, sqrt, strIncludes, strIndexOf, stringify, strReplaceAll, strSlice, strSplit, strStartsWith, test, typedLength, typedTag, Uint8Array, bufferByteLength, filter,
  charCodeAt, dateISO, dateValue, functionText, isWellFormed, numberText, objectText, regexpText, symbolText, toUpperCase, unbox, weakHas, weakSetHas,
} from "../core/primordials.js";

const maxItems = 100; // of an array, a Map or a Set; node's
const maxKeys = 200; // of an object
const maxString = 10000; // of a string inside a value; node's
const maxOutput = 32 << 10; // of one value; what is over it is left out

const inspected = Symbol.for("nodejs.util.inspect.custom");

const is = (probe, value) => {
  try {
    probe(value);
    return true;
  } catch {
    return false;
  }
};

const identifier = /^[a-zA-Z_][a-zA-Z_0-9]*$/;
const special = /[\x00-\x1f\x27\x5c\x7f-\x9f]/;

function quote(text) {
  let q = "'";
  if (strIncludes(text, "'")) {
    if (!strIncludes(text, '"')) q = '"';
    else if (!strIncludes(text, "`") && !strIncludes(text, "${")) q = "`";
  }
  if (test(special, text) === null && isWellFormed(text)) return q + text + q;
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const c = charCodeAt(text, i);
    if (c === 0x5c) out += "\\\\";
    else if (c === 0x27 && q === "'") out += "\\'";
    else if (c === 10) out += "\\n";
    else if (c === 9) out += "\\t";
    else if (c === 13) out += "\\r";
    else if (c === 8) out += "\\b";
    else if (c === 12) out += "\\f";
    else if (c === 11) out += "\\v";
    else if (c < 32 || (c >= 127 && c < 160)) out += "\\x" + padStart(toUpperCase(numberText(c, 16)), 2, "0");
    else if (c >= 0xd800 && c < 0xe000) {
      const d = c < 0xdc00 ? charCodeAt(text, i + 1) : NaN;
      if (d >= 0xdc00 && d < 0xe000) out += text[i] + text[++i];
      else out += "\\u" + toUpperCase(numberText(c, 16));
    } else out += text[i];
  }
  return q + out + q;
}

function number(n) {
  return n === 0 && 1 / n < 0 ? "-0" : `${n}`;
}

function primitive(ctx, value) {
  switch (typeof value) {
    case "string": {
      let rest = "";
      if (value.length > maxString) {
        const n = value.length - maxString;
        rest = `... ${n} more character${n > 1 ? "s" : ""}`;
        value = strSlice(value, 0, maxString);
      }
      // A long text with several lines is shown line by line.
      if (value.length > 16 && value.length > ctx.width - ctx.indent - 4 && strIncludes(value, "\n")) {
        const lines = strSplit(value, "\n");
        for (let i = 0; i < lines.length; i++) lines[i] = quote(i < lines.length - 1 ? lines[i] + "\n" : lines[i]);
        if (lines[lines.length - 1] === "''") pop(lines);
        return join(lines, ` +\n${repeat(" ", ctx.indent + 2)}`) + rest;
      }
      return quote(value) + rest;
    }
    case "number":
      return number(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return symbolText(value);
    default:
      return `${value}`;
  }
}

// constructorName looks for the name of the class without running getters.
function constructorName(value) {
  for (let o = value, i = 0; o !== null && i < 100; o = getPrototypeOf(o), i++) {
    const d = getOwnPropertyDescriptor(o, "constructor");
    if (d !== undefined && typeof d.value === "function") {
      const name = getOwnPropertyDescriptor(d.value, "name");
      if (name !== undefined && typeof name.value === "string" && name.value !== "") return name.value;
    }
  }
  return null;
}

function tagOf(value, name) {
  for (let o = value, i = 0; o !== null && i < 100; o = getPrototypeOf(o), i++) {
    const d = getOwnPropertyDescriptor(o, Symbol.toStringTag);
    if (d !== undefined) return typeof d.value === "string" && d.value !== "" && d.value !== name ? d.value : "";
  }
  return "";
}

function prefix(name, tag, fallback, size = "") {
  if (name === null) return tag !== "" && tag !== fallback ? `[${fallback}${size}: null prototype] [${tag}] ` : `[${fallback}${size}: null prototype] `;
  return tag !== "" ? `${name}${size} [${tag}] ` : `${name}${size} `;
}

function functionBase(value, name, tag) {
  const source = functionText(value);
  if (strStartsWith(source, "class") && source[source.length - 1] === "}") {
    const d = getOwnPropertyDescriptor(value, "name");
    const own = d !== undefined && typeof d.value === "string" ? d.value : "";
    const parent = getPrototypeOf(value);
    const parentName = typeof parent === "function" ? getOwnPropertyDescriptor(parent, "name")?.value : undefined;
    return `[class ${own === "" ? "(anonymous)" : own}${typeof parentName === "string" && parentName !== "" ? ` extends ${parentName}` : parent === null ? " extends null" : ""}]`;
  }
  const kind = name !== null && (name === "AsyncFunction" || name === "GeneratorFunction" || name === "AsyncGeneratorFunction") ? name : "Function";
  const d = getOwnPropertyDescriptor(value, "name");
  const label = d !== undefined && typeof d.value === "string" && d.value !== "" ? `: ${d.value}` : " (anonymous)";
  return `[${kind}${label}]`;
}

function errorText(value) {
  let stack, name, message;
  try {
    stack = value.stack;
    name = `${value.name}`;
    message = `${value.message}`;
  } catch {
    return "[Error]";
  }
  const head = message === "" ? name : `${name}: ${message}`;
  // QuickJS keeps only the frames in stack.
  if (typeof stack !== "string" || stack === "") return `[${head}]`;
  if (strStartsWith(stack, head)) return stack;
  const frames = stack[stack.length - 1] === "\n" ? strSlice(stack, 0, -1) : stack;
  return frames === "" ? `[${head}]` : `${head}\n${frames}`;
}

function format(ctx, value, depth, typed) {
  if (typeof value !== "object" && typeof value !== "function" || value === null) return primitive(ctx, value);
  if (includes(ctx.seen, value)) {
    if (!includes(ctx.circular, value)) push(ctx.circular, value);
    return `[Circular *${indexOf(ctx.circular, value) + 1}]`;
  }
  if (ctx.left <= 0) return "...";
  let custom;
  try {
    custom = value[inspected];
  } catch { /* a proxy that throws */ }
  if (typeof custom === "function" && ctx.custom !== false) {
    const text = apply(custom, value, [ctx.depth - depth, {}, inspect]);
    if (text !== value) return typeof text === "string" ? strReplaceAll(text, "\n", `\n${repeat(" ", ctx.indent)}`) : format(ctx, text, depth);
  }
  return raw(ctx, value, depth, typed);
}

const enumerable = (o, key) => getOwnPropertyDescriptor(o, key)?.enumerable === true;

function raw(ctx, value, depth) {
  const name = constructorName(value);
  const tag = tagOf(value, name);
  const symbols = [];
  const all = ownKeys(value);
  let names = [];
  const list = isArray(value);
  const typedName = typedTag(value);
  for (let i = 0; i < all.length; i++) {
    const key = all[i];
    if (typeof key === "symbol") {
      if (enumerable(value, key)) push(symbols, key);
    } else if ((list || typedName !== undefined) && `${key >>> 0}` === key && key >>> 0 !== 4294967295) {
      if (typedName !== undefined || i > maxItems) continue;
    } else if (enumerable(value, key)) push(names, key);
  }
  let base = "", braces = ["{", "}"], items, array = false, size;

  if (list) {
    braces = [name !== "Array" || tag !== "" ? `${prefix(name, tag, "Array", `(${value.length})`)}[` : "[", "]"];
    if (value.length === 0 && names.length === 0 && symbols.length === 0) return `${braces[0]}]`;
    array = true;
    items = arrayItems;
  } else if (typedName !== undefined) {
    const n = typedLength(value);
    braces = [`${prefix(name, tag === typedName ? "" : tag, typedName, `(${n})`)}[`, "]"];
    if (n === 0 && names.length === 0) return `${braces[0]}]`;
    array = true;
    items = typedItems;
  } else if (is(mapSize, value)) {
    size = mapSize(value);
    braces[0] = `${prefix(name, tag, "Map", `(${size})`)}{`;
    items = mapItems;
    if (size === 0 && names.length === 0) return `${braces[0]}}`;
  } else if (is(setSize, value)) {
    size = setSize(value);
    braces[0] = `${prefix(name, tag, "Set", `(${size})`)}{`;
    items = setItems;
    if (size === 0 && names.length === 0) return `${braces[0]}}`;
  } else if (typeof value === "function") {
    base = functionBase(value, name, tag);
    if (names.length === 0 && symbols.length === 0) return base;
  } else if (objectText(value) === "[object RegExp]" && is(regexpText, value)) {
    base = regexpText(value);
    if (names.length === 0) return base;
  } else if (is(dateValue, value)) {
    const t = dateValue(value);
    base = t !== t ? "Invalid Date" : dateISO(value);
    if (names.length === 0) return base;
  } else if (isError(value)) {
    base = errorText(value);
    if (ctx.indent > 0) base = strReplaceAll(base, "\n", `\n${repeat(" ", ctx.indent)}`);
    if (hasOwn(value, "cause") && !includes(names, "cause")) push(names, "cause");
    if (hasOwn(value, "errors") && !includes(names, "errors") && isArray(value.errors)) push(names, "errors");
    if (names.length === 0 && symbols.length === 0) return base;
  } else if (isBuffer(value)) {
    braces[0] = `${prefix(name, tag, "ArrayBuffer")}{`;
    items = bufferItems;
  } else if (objectText(value) === "[object Promise]") {
    braces[0] = `${prefix(name, tag, "Promise")}{`;
  } else if (is((v) => weakHas(v, 0), value)) {
    return `${prefix(name, tag, "WeakMap")}{ <items unknown> }`;
  } else if (is((v) => weakSetHas(v, 0), value)) {
    return `${prefix(name, tag, "WeakSet")}{ <items unknown> }`;
  } else {
    for (let j = 0; j < unbox.length; j++) {
      const label = unbox[j][0], probe = unbox[j][1];
      if (!is(probe, value)) continue;
      const inner = probe(value);
      base = `[${label}${name !== label && name !== null ? ` (${name})` : ""}: ${primitive({ __proto__: ctx, width: Infinity }, inner)}]`;
      if (typeof inner === "string") names = filter(names, (n) => !(+n < inner.length));
      if (names.length === 0 && symbols.length === 0) return base;
      break;
    }
    if (base === "") {
      if (objectText(value) === "[object Arguments]") {
        braces[0] = "[Arguments] {";
      } else {
        if (name !== "Object" || tag !== "") braces[0] = `${prefix(name, tag, "Object")}{`;
        if (names.length === 0 && symbols.length === 0) return `${braces[0]}}`;
      }
    }
  }

  if (depth > ctx.depth) {
    return `[${strSlice(prefix(name, tag, array ? "Array" : "Object"), 0, -1)}]`;
  }
  depth++;
  push(ctx.seen, value);
  ctx.current = depth;
  const output = bare([]);
  if (items !== undefined) items(ctx, value, depth, output);
  const shown = min(names.length, maxKeys);
  for (let i = 0; i < shown && ctx.left > 0; i++) push(output, property(ctx, value, names[i], depth, array));
  if (names.length > shown) push(output, `... ${names.length - shown} more keys`);
  for (let i = 0; i < symbols.length && i < maxKeys; i++) push(output, property(ctx, value, symbols[i], depth, array));
  pop(ctx.seen);
  const at = indexOf(ctx.circular, value);
  if (at >= 0) {
    const reference = `<ref *${at + 1}>`;
    if (base === "") braces[0] = `${reference} ${braces[0]}`;
    else base = `${reference} ${base}`;
  }
  const text = reduce(ctx, output, base, braces, array, depth, value);
  ctx.left -= min(text.length, 256);
  return text;
}

const more = (n) => `... ${n} more item${n > 1 ? "s" : ""}`;

function arrayItems(ctx, value, depth, output) {
  let holes = 0;
  let i = 0;
  const hole = () => {
    if (holes > 0) push(output, `<${holes} empty item${holes > 1 ? "s" : ""}>`);
    holes = 0;
  };
  for (; i < value.length && output.length < maxItems && ctx.left > 0; i++) {
    if (!hasOwn(value, i)) {
      if (++holes > 1e5) { holes += value.length - i - 1; i = value.length; break; }
      continue;
    }
    hole();
    if (output.length >= maxItems) break;
    push(output, property(ctx, value, i, depth, true, true));
  }
  hole();
  if (i < value.length) push(output, more(value.length - i));
}

function typedItems(ctx, value, depth, output) {
  const length = typedLength(value);
  const n = min(length, maxItems);
  for (let i = 0; i < n; i++) push(output, primitive(ctx, value[i]));
  if (length > n) push(output, more(length - n));
}

function bufferItems(ctx, value, depth, output) {
  const bytes = new Uint8Array(value);
  const n = min(typedLength(bytes), 50);
  let text = "";
  for (let i = 0; i < n; i++) text += (i > 0 ? " " : "") + padStart(numberText(bytes[i], 16), 2, "0");
  const rest = typedLength(bytes) - n;
  push(output, `[Uint8Contents]: <${text}${rest > 0 ? ` ... ${rest} more byte${rest > 1 ? "s" : ""}` : ""}>`);
  push(output, `byteLength: ${bufferByteLength(value)}`);
}

function mapItems(ctx, value, depth, output) {
  ctx.indent += 2;
  let n = 0;
  mapForEach(value, (v, k) => {
    if (n++ < maxItems && ctx.left > 0) push(output, `${format(ctx, k, depth)} => ${format(ctx, v, depth)}`);
  });
  if (n > output.length) push(output, more(n - output.length));
  ctx.indent -= 2;
}

function setItems(ctx, value, depth, output) {
  ctx.indent += 2;
  let n = 0;
  setForEach(value, (v) => {
    if (n++ < maxItems && ctx.left > 0) push(output, format(ctx, v, depth));
  });
  if (n > output.length) push(output, more(n - output.length));
  ctx.indent -= 2;
}

function property(ctx, object, key, depth, array, item) {
  let text;
  const d = getOwnPropertyDescriptor(object, key);
  if (d === undefined || hasOwn(d, "value")) {
    ctx.indent += 2;
    text = format(ctx, d === undefined ? object[key] : d.value, depth);
    ctx.indent -= 2;
  } else if (d.get !== undefined) text = d.set !== undefined ? "[Getter/Setter]" : "[Getter]";
  else text = d.set !== undefined ? "[Setter]" : "undefined";
  if (item) return text;
  let label;
  if (typeof key === "symbol") label = `[${symbolText(key)}]`;
  else if (key === "__proto__") label = "['__proto__']";
  else if (d !== undefined && d.enumerable === false) label = `[${key}]`;
  else label = test(identifier, key) !== null ? key : quote(key);
  return `${label}: ${text}`;
}

// group puts the items of a long array into columns.
function group(ctx, output, value) {
  let total = 0, longest = 0, n = output.length;
  if (value !== undefined && output.length > maxItems) n--;
  const lengths = [];
  for (let i = 0; i < n; i++) {
    const length = output[i].length;
    push(lengths, length);
    total += length + 2;
    if (longest < length) longest = length;
  }
  const actual = longest + 2;
  if (!(actual * 3 + ctx.indent < ctx.width && (total / actual > 5 || longest <= 6))) return output;
  const bias = sqrt(actual - total / output.length);
  const biased = max(actual - 3 - bias, 1);
  const columns = min(round(sqrt(2.5 * biased * n) / biased), floor((ctx.width - ctx.indent) / actual), 12, 15);
  if (columns <= 1) return output;
  const rows = [], widths = [];
  for (let i = 0; i < columns; i++) {
    let w = 0;
    for (let j = i; j < n; j += columns) if (lengths[j] > w) w = lengths[j];
    push(widths, w + 2);
  }
  let pad = padStart;
  if (value !== undefined) {
    for (let i = 0; i < n; i++) {
      if (typeof value[i] !== "number" && typeof value[i] !== "bigint") {
        pad = padEnd;
        break;
      }
    }
  }
  for (let i = 0; i < n; i += columns) {
    const end = min(i + columns, n);
    let text = "", j = i;
    for (; j < end - 1; j++) text += pad(`${output[j]}, `, widths[j - i], " ");
    text += pad === padStart ? padStart(output[j], widths[j - i] - 2, " ") : output[j];
    push(rows, text);
  }
  if (n < output.length) push(rows, output[n]);
  return rows;
}

// reduce puts an object on one line when it is short and not too nested.
function reduce(ctx, output, base, braces, array, depth, value) {
  const entries = output.length;
  if (array && entries > 6) output = group(ctx, output, value);
  const start = base === "" ? "" : `${base} `;
  if (ctx.current - depth < 3 && entries === output.length) {
    let total = output.length + output.length + ctx.indent + braces[0].length + base.length + 10;
    let fits = total + output.length <= ctx.width;
    for (let i = 0; fits && i < output.length; i++) {
      total += output[i].length;
      fits = total <= ctx.width && !strIncludes(output[i], "\n");
    }
    if (fits && !strIncludes(base, "\n")) return `${start}${braces[0]} ${join(output, ", ")} ${braces[1]}`;
  }
  const line = `\n${repeat(" ", ctx.indent)}`;
  return `${start}${braces[0]}${line}  ${join(output, `,${line}  `)}${line}${braces[1]}`;
}

// inspect returns a value as text. depth, breakLength of the options are node's.
export function inspect(value, options) {
  const depth = options?.depth;
  const ctx = {
    __proto__: null,
    depth: depth === null ? 20 : depth === undefined ? 2 : min(+depth, 20),
    width: options?.breakLength ?? 80,
    compact: 3,
    indent: 0,
    current: 0,
    left: maxOutput,
    seen: [],
    circular: [],
    custom: options?.customInspect,
  };
  let text = format(ctx, value, 0);
  if (text.length > 2 * maxOutput) text = strSlice(text, 0, 2 * maxOutput) + "...";
  return text;
}

// format_ joins arguments as console.log does, with the %-directives of the first.
function formatAll(args) {
  let text = "", i = 0;
  const first = args.length > 0 ? args[0] : undefined;
  if (typeof first === "string") {
    i = 1;
    if (args.length === 1) return first;
    let last = 0;
    for (let at = strIndexOf(first, "%"); at >= 0 && at < first.length - 1; at = strIndexOf(first, "%", at)) {
      const c = first[at + 1];
      if (c === "%") {
        text += strSlice(first, last, at) + "%";
        last = at += 2;
        continue;
      }
      if (i >= args.length || !strIncludes("sdifjoOc", c)) {
        at += 1;
        continue;
      }
      const arg = args[i++];
      text += strSlice(first, last, at);
      last = at += 2;
      text += directive(c, arg);
    }
    text += strSlice(first, last);
  }
  for (; i < args.length; i++) {
    if (i > 0) text += " ";
    text += typeof args[i] === "string" ? args[i] : inspect(args[i]);
  }
  return text;
}

function directive(c, arg) {
  switch (c) {
    case "s":
      if (typeof arg === "bigint") return `${arg}n`;
      if (typeof arg === "number") return number(arg);
      if (typeof arg === "symbol") return symbolText(arg);
      if (typeof arg !== "object" || arg === null) return `${arg}`;
      return inspect(arg, { depth: 0 });
    case "d":
      return typeof arg === "bigint" ? `${arg}n` : typeof arg === "symbol" || typeof arg === "object" && arg !== null ? number(NaN) : number(Number(arg));
    case "i":
      return typeof arg === "bigint" ? `${arg}n` : typeof arg === "symbol" || typeof arg === "object" && arg !== null ? "NaN" : number(parseInt(arg));
    case "f":
      return typeof arg === "symbol" ? "NaN" : number(parseFloat(arg));
    case "j":
      try {
        return `${stringify(arg)}`;
      } catch {
        return "[Circular]";
      }
    case "O":
      return inspect(arg, {});
    case "o":
      return inspect(arg, { depth: 4 });
    default: // %c is style
      return "";
  }
}

export { formatAll as format };

// table draws an array of objects with a column for each key, as console.table.
export function table(data, columns) {
  const rows = [], heads = ["(index)"];
  let plain = false;
  const add = (index, row) => {
    if (rows.length >= 1000) return;
    const cells = { __proto__: null, "(index)": `${index}` };
    if (typeof row === "object" && row !== null) {
      const shown = columns ?? keys(row);
      for (let i = 0; i < shown.length; i++) {
        const key = shown[i];
        if (heads.length < 50 && !includes(heads, key)) push(heads, key);
        if (hasOwn(row, key)) cells[key] = inspect(row[key], { depth: 0 });
      }
    } else {
      plain = true;
      cells["\0"] = inspect(row);
    }
    push(rows, cells);
  };
  const all = keys(data);
  for (let i = 0; i < all.length; i++) add(all[i], data[all[i]]);
  if (plain) push(heads, "\0");
  const widths = map(heads, (h) => {
    let w = (h === "\0" ? "Values" : h).length;
    for (let i = 0; i < rows.length; i++) w = max(w, (rows[i][h] ?? "").length);
    return w;
  });
  const rule = (l, m, r) => l + join(map(widths, (w) => repeat("\u2500", w + 2)), m) + r;
  const line = (cell) => "\u2502" + join(map(heads, (h, i) => ` ${padEnd(cell(h), widths[i])} `), "\u2502") + "\u2502";
  const out = [rule("\u250c", "\u252c", "\u2510"), line((h) => (h === "\0" ? "Values" : h)), rule("\u251c", "\u253c", "\u2524")];
  for (let i = 0; i < rows.length; i++) push(out, line((h) => rows[i][h] ?? ""));
  push(out, rule("\u2514", "\u2534", "\u2518"));
  return join(out, "\n");
}
