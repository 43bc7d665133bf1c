// Functions in AssemblyScript on Runnel, as handler reactors:
//
//   import { run, jsonGet } from "./runnel";
//   export { runnel_alloc } from "./runnel";
//
//   export function handler(ptr: usize, len: usize): u64 {
//     return run(ptr, len, (event: string): string => '{"hello":"world"}');
//   }
//
// Build: asc function.ts -o function.wasm --config asconfig.json --use abort=runnel/abort
// (abort's path is this file's, as it is imported, without .ts). The runtime is "stub", which frees
// nothing: an instance lives for one call.

@external("runnel", "db_query") declare function host_db_query(sql: usize, sqlLen: usize, params: usize, paramsLen: usize): i32;
@external("runnel", "http_fetch") declare function host_http_fetch(request: usize, len: usize): i32;
@external("runnel", "env") declare function host_env(key: usize, len: usize): i32;
@external("runnel", "log") declare function host_log(level: i32, message: usize, len: usize): void;
@external("runnel", "result_read") declare function host_result_read(ptr: usize, room: usize): i32;
@external("wasi_snapshot_preview1", "fd_write") declare function fd_write(fd: i32, vectors: usize, count: i32, written: usize): i32;
@external("wasi_snapshot_preview1", "proc_exit") declare function proc_exit(code: i32): void;

/** Gives the event its place. Every function exports it again. */
export function runnel_alloc(size: usize): usize {
  return heap.alloc(size);
}

/** Calls a function with the event's JSON and returns where its result is. */
export function run(ptr: usize, len: usize, handle: (event: string) => string): u64 {
  const result = String.UTF8.encode(handle(String.UTF8.decodeUnsafe(ptr, len)));
  return ((changetype<usize>(result) as u64) << 32) | (result.byteLength as u64);
}

/** Ends the function with FunctionError and this message. */
export function fail(message: string): void {
  const text = String.UTF8.encode(message + "\n");
  const vector = heap.alloc(12);
  store<u32>(vector, changetype<usize>(text) as u32);
  store<u32>(vector + 4, text.byteLength);
  fd_write(2, vector, 1, vector + 8);
  proc_exit(1);
}

/** What the compiler calls where JavaScript would throw. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  fail((message === null ? "abort" : message) + " at " + (file === null ? "?" : file) + ":" + line.toString() + ":" + column.toString());
}

function answer(n: i32): string {
  const b = new ArrayBuffer(n);
  return String.UTF8.decodeUnsafe(changetype<usize>(b), host_result_read(changetype<usize>(b), n));
}

/** Runs SQL as the caller. params is a JSON array; the answer is JSON with "rows" or "error". */
export function query(sql: string, params: string = "[]"): string {
  const s = String.UTF8.encode(sql), p = String.UTF8.encode(params);
  return answer(host_db_query(changetype<usize>(s), s.byteLength, changetype<usize>(p), p.byteLength));
}

/** Sends a request, {"method","url","headers","body"}; the answer is JSON with "status" or "error". */
export function fetch(request: string): string {
  const r = String.UTF8.encode(request);
  return answer(host_http_fetch(changetype<usize>(r), r.byteLength));
}

/** A value of the environment, null when it is not set. */
export function env(key: string): string | null {
  const k = String.UTF8.encode(key);
  const n = host_env(changetype<usize>(k), k.byteLength);
  return n < 0 ? null : answer(n);
}

export enum Level { Debug, Info, Warn, Error }

/** Writes a line to the invocation's log. */
export function log(level: Level, message: string): void {
  const m = String.UTF8.encode(message);
  host_log(level, changetype<usize>(m), m.byteLength);
}

function space(s: string, i: i32): i32 {
  while (i < s.length && " \t\n\r".indexOf(s.charAt(i)) >= 0) i++;
  return i;
}

// The end of the JSON value that begins at i.
function skip(s: string, i: i32): i32 {
  let depth = 0;
  do {
    i = space(s, i);
    if (i >= s.length) return s.length;
    const c = s.charCodeAt(i++);
    if (c == 34) {
      while (i < s.length && s.charCodeAt(i) != 34) i += s.charCodeAt(i) == 92 ? 2 : 1;
      i++;
    } else if (c == 123 || c == 91) {
      depth++;
    } else if (c == 125 || c == 93) {
      depth--;
    } else if (c != 44 && c != 58) {
      while (i < s.length && ",:]}[{\" \t\r\n".indexOf(s.charAt(i)) < 0) i++;
    }
  } while (depth > 0);
  return min(i, s.length);
}

/** The JSON of an object's member, null when there is none. The first of keys that repeat. */
export function jsonGet(json: string, key: string): string | null {
  let i = space(json, 0);
  if (json.charCodeAt(i) != 123) return null;
  for (i = space(json, i + 1); i < json.length && json.charCodeAt(i) == 34; i = space(json, i + 1)) {
    const name = json.substring(i, (i = skip(json, i)));
    i = space(json, i);
    if (json.charCodeAt(i) != 58) return null;
    const from = space(json, i + 1);
    i = skip(json, from);
    if (jsonText(name) == key) return json.substring(from, i);
    i = space(json, i);
    if (json.charCodeAt(i) != 44) return null;
  }
  return null;
}

/** The text of a JSON string; anything else as it is written. */
export function jsonText(value: string): string {
  if (value.length < 2 || value.charCodeAt(0) != 34) return value;
  let out = "", from = 1;
  const end = value.length - 1;
  for (let i = 1; i < end; i++) {
    if (value.charCodeAt(i) != 92) continue;
    out += value.substring(from, i++);
    const c = value.charAt(i);
    const at = "\"\\/bfnrt".indexOf(c);
    if (at >= 0) {
      out += "\"\\/\b\f\n\r\t".charAt(at);
    } else {
      out += String.fromCharCode(<i32>parseInt(value.substring(i + 1, i + 5), 16));
      i += 4;
    }
    from = i + 1;
  }
  return out + value.substring(from, end);
}

/** Text as a JSON string. */
export function jsonQuote(text: string): string {
  let out = '"', from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c != 34 && c != 92 && c >= 32) continue;
    out += text.substring(from, i) + (c >= 32 ? "\\" + text.charAt(i) : "\\u00" + (c < 16 ? "0" : "") + c.toString(16));
    from = i + 1;
  }
  return out + text.substring(from) + '"';
}
