import Stripe from "stripe";

// Its build for workers: the signature of a webhook with SubtleCrypto, and a request
// with fetch.
export async function work() {
  const stripe = new Stripe("sk_test_nothing", { httpClient: Stripe.createFetchHttpClient(), maxNetworkRetries: 0, telemetry: false, host: new URL(process.env.SERVER).hostname, port: new URL(process.env.SERVER).port, protocol: "http" });
  const provider = Stripe.createSubtleCryptoProvider();
  const payload = JSON.stringify({ id: "evt_1", object: "event", type: "charge.succeeded", data: { object: { amount: 100 } } });
  const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload, secret: "whsec_test", timestamp: 1700000000, cryptoProvider: provider });
  const event = await stripe.webhooks.constructEventAsync(payload, header, "whsec_test", Infinity, provider, 1700000000);
  const wrong = await stripe.webhooks.constructEventAsync(payload + " ", header, "whsec_test", Infinity, provider, 1700000000).catch((e) => e.type);
  const made = await stripe.charges.create({ amount: 1999, currency: "eur", metadata: { order: "a b" } }, { idempotencyKey: "k1" });
  return { header, event, wrong, made: { method: made.method, path: made.path, body: made.body, key: made.headers["idempotency-key"], auth: made.headers.authorization } };
}
