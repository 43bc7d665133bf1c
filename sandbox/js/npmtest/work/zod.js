import { z } from "zod";

const Order = z.object({
  id: z.uuid(),
  email: z.email().transform((s) => s.toLowerCase()),
  lines: z.array(z.object({ sku: z.string().regex(/^[A-Z]{3}-\d+$/), quantity: z.coerce.number().int().positive() })).min(1),
  placed: z.coerce.date(),
  note: z.string().max(20).optional(),
  status: z.enum(["new", "paid"]).default("new"),
}).strict();

export async function work() {
  const good = Order.safeParse({ id: "3f333df6-90a4-4fda-8dd3-9485d27cee36", email: "Ada@Example.com", lines: [{ sku: "ABC-1", quantity: "2" }], placed: "2024-02-29T12:00:00Z" });
  const bad = Order.safeParse({ id: "x", email: "nobody", lines: [{ sku: "abc", quantity: -1 }], placed: "never", note: "x".repeat(21), extra: 1 });
  const union = z.discriminatedUnion("kind", [z.object({ kind: z.literal("a"), n: z.number() }), z.object({ kind: z.literal("b"), s: z.string() })]);
  return { good, issues: bad.error.issues, union: union.parse({ kind: "b", s: "x" }), schema: z.toJSONSchema(z.object({ a: z.string().min(2), b: z.number().optional() })) };
}
