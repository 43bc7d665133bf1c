// Compiled with the files of "runnel init"; it never runs. Each @ts-expect-error is an
// error that the types must find.

interface Order {
  id: number;
  total: string;
}

export const handler: Handler<HttpEvent<{ id: number }>, HttpResult> = async (event, context) => {
  const rows = await db.query<Order>("select * from orders where id = $1", event.body.id);
  const first: Order = rows[0];
  const same: Order = rows.rows[0];
  const n: number = rows.rowCount + rows.length + rows.columns.length;
  for (const row of rows) row.id.toFixed();
  // @ts-expect-error: the row has no such column
  first.missing;
  await db.query`select ${new Date()}, ${1n}, ${new Uint8Array(1)}, ${null}, ${{ a: 1 }}`;
  // @ts-expect-error: a symbol is no parameter
  await db.query("select $1", Symbol());
  // @ts-expect-error: SQL comes first
  await db.query(1);
  const [a, b] = await db.batch([db.sql`insert into t values (${1})`, ["select $1", 2], { sql: "select 1" }, "select 2"]);
  a.rowCount + b.rowCount;
  const left: number = context.remainingTime() + context.deadline + context.attempt;
  context.waitUntil(fetch("https://example.com", { signal: AbortSignal.timeout(100) }));
  // @ts-expect-error: read only
  context.attempt = 2;
  const key: string | undefined = env.API_KEY ?? process.env.API_KEY ?? Deno.env.get("API_KEY") ?? context.env.X;
  // @ts-expect-error: may be undefined
  const sure: string = env.API_KEY;
  try {
    await db.query("select 1/0");
  } catch (e) {
    const error = e as HostError;
    if (error.code === "QueryError" && error.sqlstate === "22012") console.warn(error.hint, error.position);
  }
  return { statusCode: 200, headers: { "set-cookie": ["a=1", "b=2"] }, body: { first, same, n, left, key, sure } };
};

export const any: Handler = (event) => {
  switch (event.trigger) {
    case "http":
      return event.headers["content-type"];
    case "database":
      // @ts-expect-error: a change has no headers
      event.headers;
      return event.new?.id;
    case "schedule":
      return event.scheduled_time;
    case "sql":
      return event.payload;
  }
};

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    ctx.waitUntil(Promise.resolve());
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url.search + env.SALT));
    return Response.json({ id: crypto.randomUUID(), bytes: digest.byteLength, copy: structuredClone({ a: 1 }) });
  },
} satisfies FetchHandler;

Deno.serve((request) => new Response(request.body));
Deno.serve({ port: 1 }, async (request) => Response.json(await request.json()));
// @ts-expect-error: a handler answers with a Response
Deno.serve(() => 1);
