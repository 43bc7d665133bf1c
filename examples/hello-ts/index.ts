// A guest book: greets by name, remembers who came, and says how many did.

interface Event {
  trigger: "http" | "sql" | "database" | "schedule";
  query?: Record<string, string>;
  payload?: { name?: string };
}

interface Context {
  functionVersion: number;
  attempt: number;
}

export async function handler(event: Event, context: Context) {
  const name = event.query?.name ?? event.payload?.name ?? env.DEFAULT_NAME ?? "world";
  await db.query("INSERT INTO guest_book (name) VALUES ($1)", name);
  const { rows } = await db.query("SELECT count(*)::int AS visits FROM guest_book WHERE name = $1", name);
  console.log("greeting", { name, version: context.functionVersion });
  return { greeting: `Hello, ${name}!`, visits: rows[0].visits, id: crypto.randomUUID() };
}
