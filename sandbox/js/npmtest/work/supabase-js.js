import { createClient } from "@supabase/supabase-js";

// The client inside a function, with a fetch that stands for the network.
export async function work() {
  const seen = [];
  const client = createClient("http://localhost:9", "key", {
    realtime: { transport: globalThis.WebSocket ?? class {} }, // node 20 has none
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      async fetch(input, init) {
        const request = new Request(input, init);
        seen.push([request.method, request.url, request.headers.get("apikey"), request.headers.get("prefer"), request.body === null ? null : await request.text()]);
        return new Response(JSON.stringify([{ id: 1 }]), { headers: { "content-type": "application/json", "content-range": "0-0/1" } });
      },
    },
  });
  const read = await client.from("orders").select("id, lines(*)", { count: "exact" }).eq("status", "new").order("id", { ascending: false }).limit(5);
  const written = await client.from("orders").insert({ a: 1, b: ["x"] }).select().single();
  const called = await client.functions.invoke("hello", { body: { n: 1 } });
  return { read: [read.data, read.count, read.error], written: written.error, called: called.data, seen };
}
