// Bodies of fetch as streams, both ways, and as other streams take them.
export async function work() {
  const server = process.env.SERVER;
  const source = (...pieces) => new ReadableStream({ start(c) { for (const p of pieces) c.enqueue(new TextEncoder().encode(p)); c.close(); } });
  const sent = await (await fetch(server + "/up", { method: "POST", body: source("one ", "zwölf"), duplex: "half" })).json();
  const reader = (await fetch(server + "/big")).body.getReader();
  let size = 0;
  for (let r; !(r = await reader.read()).done; ) size += r.value.length;
  let text = "";
  for await (const piece of (await fetch(server + "/text")).body.pipeThrough(new TextDecoderStream())) text += piece;
  const form = new FormData();
  form.set("f", new File([new Uint8Array([1, 2, 3])], "a.bin", { type: "application/x-thing" }));
  const back = await new Response((await fetch(server + "/echo", { method: "POST", body: form })).body, { headers: { "content-type": new Request("http://a", { method: "POST", body: form }).headers.get("content-type") } }).text();
  const zipped = new Response(source("press ", "press").pipeThrough(new CompressionStream("gzip"))).body.pipeThrough(new DecompressionStream("gzip"));
  const view = await new Response("bytes").body.getReader({ mode: "byob" }).read(new Uint8Array(3));
  return { sent: [sent.method, sent.body], size, text, file: back.includes("a.bin"), zipped: await new Response(zipped).text(), view: [...view.value] };
}
