// Writes npm.json: headers that Stripe's client for Node makes, and what it says of changed ones; the forms that it sends.
// npm install --no-save stripe@23.1.0 && node make.mjs > npm.json
import { createRequire } from "node:module";
import http from "node:http";
import { readFileSync } from "node:fs";

const Stripe = createRequire(import.meta.url)("stripe");
const stripe = new Stripe("sk_test_vectors", { maxNetworkRetries: 0 });
const { version } = JSON.parse(readFileSync(new URL("./node_modules/stripe/package.json", import.meta.url)));

const SECRET = "whsec_vectors";
const AT = 1790000000;
const BODIES = ['{"id":"evt_1","object":"event"}', '{"name":"Ünal ☕ 😀"}', '{\n  "a": 1\n}\n', " ", '{"b":"\\u00e9\\u2028"}'];

const sign = (payload, secret = SECRET, timestamp = AT) => stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
const signed = BODIES.map((body) => ({ body, secret: SECRET, at: AT, header: sign(body) }));
signed.push({ body: BODIES[0], secret: "whsec_" + "x".repeat(90), at: 1, header: sign(BODIES[0], "whsec_" + "x".repeat(90), 1) });

const body = BODIES[0];
const good = sign(body);
const [t, v1] = good.split(",");
const hex = v1.slice(3);
const other = sign(body, "whsec_other").split(",")[1];
const changed = {
  "as it is": good,
  "v1 before t": `${v1},${t}`,
  "another signature before": `${t},${other},${v1}`,
  "another scheme besides": `${t},v0=${hex},${v1}`,
  "another scheme only": `${t},v0=${hex}`,
  "by another secret": `${t},${other}`,
  "a blank after the comma": `${t}, ${v1}`,
  "capital letters": `${t},v1=${hex.toUpperCase()}`,
  "one digit less": `${t},${v1.slice(0, -1)}`,
  "no time": v1,
  "no signature": t,
  "a time with letters behind": `${t}abc,${v1}`,
  "another time": `t=${AT + 1},${v1}`,
  "301 s old": good,
};
const verdicts = Object.entries(changed).map(([what, header]) => {
  const now = what === "301 s old" ? AT + 301 : AT;
  try {
    stripe.webhooks.constructEvent(body, header, SECRET, 300, undefined, now * 1000);
    return { what, header, now, taken: true };
  } catch (error) {
    return { what, header, now, taken: false };
  }
});

// What it sends: method, path with query, body.
const sent = [];
const server = http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    const { method, url, headers } = request;
    sent.push({ method, url, body: text, version: headers["stripe-version"], type: headers["content-type"] });
    response.setHeader("content-type", "application/json");
    response.end('{"id":"x","object":"list","data":[]}');
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const local = new Stripe("sk_test_vectors", { host: "127.0.0.1", port: server.address().port, protocol: "http", maxNetworkRetries: 0, telemetry: false });
await local.customers.create({ metadata: { tenant: "Ünal & Co=1" }, email: "a+b@shop.example" });
await local.checkout.sessions.create({
  mode: "subscription", customer: "cus_1", client_reference_id: "acme", line_items: [{ price: "price_1", quantity: 1 }],
  success_url: "https://app.example/ok?s={CHECKOUT_SESSION_ID}", cancel_url: "https://app.example/no", metadata: { tenant: "acme", plan: "pro" },
  subscription_data: { metadata: { tenant: "acme" }, trial_period_days: 14, trial_settings: { end_behavior: { missing_payment_method: "pause" } } },
  payment_method_collection: "if_required",
});
await local.subscriptions.update("sub_1", { items: [{ id: "si_1", price: "price_2" }], proration_behavior: "create_prorations" });
await local.subscriptions.update("sub_1", { cancel_at_period_end: false });
await local.subscriptions.update("sub_1", { discounts: "" });
await local.subscriptions.update("sub_1", { discounts: [] });
await local.subscriptions.cancel("sub_1");
await local.invoices.createPreview({
  subscription: "sub_1", subscription_details: { items: [{ id: "si_1", price: "price_2" }], proration_behavior: "always_invoice", proration_date: 7 },
});
await local.events.list({ limit: 100, created: { gte: 7 }, types: ["invoice.paid", "invoice.payment_failed"], delivery_success: false });
await local.customers.search({ query: "metadata['tenant']:'acme'", limit: 100 });
await local.prices.retrieve("price_1", { expand: ["product"] });
server.close();

console.log(JSON.stringify({ by: `npm stripe ${version}`, signed, verdicts, sent }, null, 1));
