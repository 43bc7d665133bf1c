import { Hono } from "hono";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { sign, verify } from "hono/jwt";
import { validator } from "hono/validator";

const app = new Hono().basePath("/api");
app.use("*", cors({ origin: "https://example.com" }));
app.use("/cached/*", etag());
app.get("/users/:id{[0-9]+}", (c) => c.json({ id: c.req.param("id"), q: c.req.query("q"), all: c.req.queries("t"), agent: c.req.header("user-agent") }));
app.get("/cached/page", (c) => c.html("<h1>same</h1>"));
app.post("/form", async (c) => {
  const body = await c.req.parseBody();
  return c.json({ name: body.name, file: body.file instanceof File ? [body.file.name, await body.file.text()] : null });
});
app.post("/json", validator("json", (v, c) => (typeof v.n === "number" ? v : c.text("n!", 400))), (c) => c.json({ doubled: c.req.valid("json").n * 2 }));
app.get("/stream", (c) => c.body(new ReadableStream({ start(s) { s.enqueue(new TextEncoder().encode("a")); s.enqueue(new TextEncoder().encode("b")); s.close(); } })));
app.get("/redirect", (c) => c.redirect("/api/users/1", 301));
app.get("/boom", () => { throw new Error("boom"); });
app.onError((e, c) => c.json({ error: e.message }, 500));
app.notFound((c) => c.text("nothing here", 404));

async function show(response) {
  return { status: response.status, headers: [...response.headers], body: await response.text() };
}

export async function work() {
  const form = new FormData();
  form.set("name", "Ada");
  form.set("file", new File(["content"], "a.txt", { type: "text/plain" }));
  const calls = [
    ["/api/users/12?q=a%20b&t=1&t=2", { headers: { "user-agent": "test" } }], ["/api/users/x"], ["/api/cached/page"], ["/api/form", { method: "POST", body: form }],
    ["/api/json", { method: "POST", body: JSON.stringify({ n: 21 }), headers: { "content-type": "application/json" } }], ["/api/json", { method: "POST", body: "{}", headers: { "content-type": "application/json" } }],
    ["/api/stream"], ["/api/redirect"], ["/api/boom"], ["/api/users/1", { method: "OPTIONS", headers: { origin: "https://example.com", "access-control-request-method": "GET" } }],
  ];
  const out = [];
  for (const [path, init] of calls) out.push(await show(await app.request(`http://localhost${path}`, init)));
  const page = await app.request("/api/cached/page");
  out.push((await app.request("/api/cached/page", { headers: { "if-none-match": page.headers.get("etag") } })).status);
  const token = await sign({ sub: "ada", exp: 4102444800 }, "secret", "HS256");
  return { out, token, payload: await verify(token, "secret", "HS256") };
}
