// What an application does with Supabase's clients, against a Runnel that is running.
// Prints what it saw as JSON.
import { FunctionsClient, FunctionsHttpError, FunctionsRelayError } from "@supabase/functions-js";
import { createClient } from "@supabase/supabase-js";

const { BASE, ANON_KEY } = process.env;
const supabase = createClient(BASE, ANON_KEY, { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: globalThis.WebSocket ?? class {} } });
const direct = new FunctionsClient(`${BASE}/functions/v1`, { headers: { Authorization: `Bearer ${ANON_KEY}` }, region: "eu-central-1" });

const seen = {};
const call = async (name, ...args) => {
  const { data, error } = await supabase.functions.invoke(...args);
  seen[name] = error === null ? data : { kind: error.constructor.name, http: error instanceof FunctionsHttpError, relay: error instanceof FunctionsRelayError, status: error.context?.status, body: await error.context?.json?.() };
  return seen[name];
};
const brief = ({ method, path, query, headers, body, is_base64, role }) => ({ method, path, query, type: headers["content-type"], region: headers["x-region"], client: /^supabase-js/.test(headers["x-client-info"] ?? ""), secret: headers.authorization ?? headers.apikey, body, is_base64, role });

seen.json = brief(await call("json", "echo", { body: { n: 1, text: "ü" } }));
seen.text = brief(await call("text", "echo", { body: "plain ü" }));
seen.blob = brief(await call("blob", "echo", { body: new Blob([new Uint8Array([0, 255])]) }));
seen.buffer = brief(await call("buffer", "echo", { body: new Uint8Array([1, 254]).buffer }));
const form = new FormData();
form.set("field", "value");
form.set("file", new Blob(["content"], { type: "text/plain" }), "a.txt");
const sent = brief(await call("form", "echo", { body: form }));
seen.form = { type: sent.type.split(";")[0], parts: sent.body.replaceAll(sent.type.split("boundary=")[1], "B") };
seen.get = brief(await call("get", "echo/sub/path?q=1", { method: "GET" }));
seen.own = brief(await call("own", "echo", { method: "PUT", headers: { "x-mine": "1" }, body: {} }));
seen.region = brief((await direct.invoke("echo", { body: {} })).data);
await call("string", "text");
await call("nothing", "nothing");
await call("bytes", "bytes");
seen.bytes = seen.bytes instanceof Blob ? [...new Uint8Array(await seen.bytes.arrayBuffer())] : seen.bytes;
for (const name of ["missing", "trap", "slow", "teapot"]) {
  const e = await call(name, name);
  if (e.body) e.body = { error: e.body.error, code: e.body.code, message: typeof e.body.message, teapot: e.body.teapot };
}
const forged = createClient(BASE, ANON_KEY.slice(0, -3) + "AAA", { auth: { persistSession: false }, realtime: { transport: globalThis.WebSocket ?? class {} } });
const { error } = await forged.functions.invoke("guarded");
seen.forged = { kind: error.constructor.name, status: error.context.status };
await call("guarded", "guarded");
const hello = await call("hello", "hello", { body: { name: "Ada" } });
if (hello.kind === undefined) seen.hello = { hello: hello.hello, role: hello.role, name: hello.name, fields: Object.keys(hello).sort() };

console.log(JSON.stringify(seen));
