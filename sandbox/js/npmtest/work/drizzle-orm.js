import { and, desc, eq, gt, sql } from "drizzle-orm";
import { integer, jsonb, pgTable, serial, text, timestamp } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/pg-proxy";

const users = pgTable("users", { id: serial("id").primaryKey(), name: text("name").notNull(), age: integer("age"), tags: jsonb("tags"), made: timestamp("made", { mode: "string" }) });
const posts = pgTable("posts", { id: serial("id").primaryKey(), author: integer("author").references(() => users.id), title: text("title") });

// The driver is a function: in a function of Runnel it calls db.query.
export async function work() {
  const asked = [];
  const db = drizzle(async (query, params, method) => {
    asked.push([query, params, method]);
    return { rows: method === "execute" ? [] : [[1, "Ada", 36, ["a"], "2024-01-01 00:00:00"]] };
  });
  const found = await db.select().from(users).where(and(eq(users.name, "Ada"), gt(users.age, 30))).orderBy(desc(users.id)).limit(2);
  await db.insert(users).values({ name: "Grace", tags: ["x"] }).onConflictDoNothing();
  const changed = await db.update(users).set({ age: sql`${users.age} + 1` }).where(eq(users.id, 1)).returning();
  await db.delete(posts).where(eq(posts.author, 1));
  const joined = db.select({ title: posts.title, name: users.name }).from(posts).leftJoin(users, eq(posts.author, users.id)).toSQL();
  return { found, changed, asked, joined };
}
