// Enqueues, waits and lists with the types that `openapi-typescript` made of the document (api.d.ts): client.js URL TOKEN.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

type Job = components["schemas"]["JobAnswer"];
type JobEvent = components["schemas"]["JobEvent"];

const [url = "", token = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function expect(condition: boolean, what: unknown): asserts condition {
  if (!condition) throw new Error(JSON.stringify(what));
}

// Never called: what is wrong does not compile.
export const wrong = () => [
  // @ts-expect-error there is no such kind
  api.POST("/api/jobs", { body: { kind: "contents", payload: { to: "zoe@customer.example" } } }),
  // @ts-expect-error the payload is another kind's
  api.POST("/api/jobs", { body: { kind: "content", payload: { to: "zoe@customer.example" } } }),
  // @ts-expect-error there is no such state
  api.GET("/api/jobs", { params: { query: { state: "done" } } }),
];

const product = { product_id: "L-2", name: "Desk lamp", category: "Lighting", language: "en" } as const;
const enqueued = await api.POST("/api/jobs", {
  body: { kind: "content", payload: product, options: { priority: "high" } },
  params: { header: { "Idempotency-Key": "lamp-2" } },
});
expect(enqueued.response.status === 202 && enqueued.data !== undefined, enqueued.error);
const id: string = enqueued.data.id;

const waited = await api.GET("/api/jobs/{id}", { params: { path: { id }, query: { wait: 60 } } });
expect(waited.data !== undefined, waited.error);
const job: Job = waited.data;
expect(job.state === "succeeded" && job.attempts[0]?.outcome === "succeeded", job);

const listed = await api.GET("/api/jobs", { params: { query: { q: id } } });
expect(listed.data?.items.length === 1 && listed.data.items[0]?.id === id, listed);

const followed = await api.GET("/api/jobs/{id}/events", { params: { path: { id } }, parseAs: "text" });
expect(followed.data !== undefined, followed.error);
const events = followed.data.split("\n\n").filter((block) => block.startsWith("id:")).map(read);
const last = events.at(-1);
expect(last?.event === "end" && last.data.state === "succeeded" && last.data.job === id, events);

// One event of a stream, as its lines say.
function read(block: string): JobEvent {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)));
  return { id: fields["id"], event: fields["event"], data: JSON.parse(fields["data"] ?? "") } as JobEvent;
}

const refused = await api.POST("/api/jobs", { body: { kind: "content", payload: { ...product, name: "" } } });
expect(refused.error?.errors?.[0]?.pointer === "/payload/name", refused);
console.log("enqueued, waited, listed");
