import OpenAI from "openai";

export async function work() {
  const client = new OpenAI({ apiKey: "sk-nothing", baseURL: process.env.SERVER + "/v1", maxRetries: 0 });
  const made = await client.chat.completions.create({ model: "any", messages: [{ role: "user", content: "hé" }], temperature: 0 });
  const failed = await client.models.retrieve("fails").catch((e) => [e.constructor.name, e.status, e.message]);
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ model: "any", messages: [], stream: true })) pieces.push(chunk.piece);
  const file = await client.files.create({ purpose: "batch", file: await OpenAI.toFile(new TextEncoder().encode("line\n"), "a.jsonl") });
  return { method: made.method, path: made.path, body: made.body, auth: made.headers.authorization, failed, pieces, form: [file.method, file.path, file.headers["content-type"].split(";")[0], file.body.includes('filename="a.jsonl"')] };
}
