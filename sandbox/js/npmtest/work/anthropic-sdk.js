import Anthropic from "@anthropic-ai/sdk";

export async function work() {
  const client = new Anthropic({ apiKey: "nothing", baseURL: process.env.SERVER, maxRetries: 0 });
  const made = await client.messages.create({ model: "any", max_tokens: 16, messages: [{ role: "user", content: "hé" }] });
  const failed = await client.models.retrieve("fails").catch((e) => [e.constructor.name, e.status]);
  return { method: made.method, path: made.path, body: made.body, key: made.headers["x-api-key"], version: made.headers["anthropic-version"], failed };
}
