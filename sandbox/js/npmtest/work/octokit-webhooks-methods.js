import { sign, verify, verifyWithFallback } from "@octokit/webhooks-methods";

export async function work() {
  const payload = '{"action":"opened","title":"ü"}';
  const signature = await sign("secret", payload);
  return [signature, await verify("secret", payload, signature), await verify("secret", payload + " ", signature), await verify("other", payload, signature), await verifyWithFallback("old", payload, signature, ["secret"])];
}
