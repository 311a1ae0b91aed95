// The side of BullMQ: does one thing, told as JSON in the last argument, and writes one JSON line about it.
import { createRequire } from 'node:module';

const task = JSON.parse(process.argv.at(-1));
const { Queue, Worker } = createRequire(task.modules + '/')('bullmq');
const url = new URL(task.url);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const BULK = 500;
const AT_A_TIME = 4;
const DAY_S = 24 * 3600;

const seconds = (since) => (performance.now() - since) / 1000;
const text = 'x'.repeat(task.payload_bytes - '{"number":1234567,"text":""}'.length);
const payload = (number) => ({ number, text });
const say = (word) => process.stdout.write(word + '\n');
const kept = (keep) => (keep ? { age: DAY_S } : { count: 0 });

async function push(queue, { clients, time_s }) {
  const began = performance.now();
  let jobs = 0;
  const client = async () => {
    while (seconds(began) < time_s) {
      await queue.add('job', payload(jobs));
      jobs += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return jobs / seconds(began);
}

async function fill(queue, { jobs }) {
  const began = performance.now();
  let next = 0;
  const client = async () => {
    while (next < jobs) {
      const first = next;
      next = Math.min(next + BULK, jobs);
      const batch = [];
      for (let number = first; number < next; number += 1) batch.push({ name: 'job', data: payload(number) });
      await queue.addBulk(batch);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, client));
  return jobs / seconds(began);
}

async function drain(_, { jobs, keep, concurrency }) {
  const began = performance.now();
  let left = jobs;
  let rate;
  await new Promise((resolve) => {
    const worker = new Worker('bench', async () => true, { connection, concurrency, removeOnComplete: kept(keep) });
    worker.on('completed', () => {
      left -= 1;
      if (left === 0) {
        rate = jobs / seconds(began);
        resolve();
      }
    });
  });
  return rate;
}

async function start(queue, { jobs, per_second, concurrency }) {
  const pushed = [];
  const waited = [];
  let all;
  const ended = new Promise((resolve) => { all = resolve; });
  const note = async (job) => {
    const { number } = job.data;
    if (number < 0) return;
    waited.push(performance.now() - pushed[number]);
    if (waited.length === jobs) all();
  };
  const worker = new Worker('bench', note, { connection, concurrency, removeOnComplete: kept(true) });
  const warm = new Promise((resolve) => { worker.once('completed', resolve); });
  await queue.add('job', payload(-1));
  await warm;
  const began = performance.now();
  let number = 0;
  const timer = setInterval(() => {
    const due = Math.min(jobs, Math.floor(seconds(began) * per_second));
    while (number < due) {
      pushed[number] = performance.now();
      queue.add('job', payload(number));
      number += 1;
    }
    if (number === jobs) clearInterval(timer);
  }, 1);
  await ended;
  return waited;
}

async function hang() {
  const worker = new Worker('bench', () => { say('started'); return new Promise(() => {}); }, { connection, concurrency: 64 });
  await worker.waitUntilReady();
  say('ready');
  await new Promise(() => {});
}

// The whole way: what a job of ours leaves in MongoDB is written, under an id of this job's own.
async function fill_paused(queue, { jobs, data }) {
  await queue.pause();
  for (let first = 0; first < jobs; first += BULK) {
    const n = Math.min(BULK, jobs - first);
    await queue.addBulk(Array.from({ length: n }, () => ({ name: 'job', data })));
  }
  return jobs;
}

async function resume(queue) {
  await queue.resume();
  return 0;
}

async function whole_way(_, { mongo_url, database, samples, concurrency }) {
  const { MongoClient } = createRequire(task.modules + '/')('mongodb');
  const client = new MongoClient(mongo_url, { writeConcern: { w: 'majority' }, maxPoolSize: concurrency });
  await client.connect();
  const documents = await client.db(samples).collection('samples').find().toArray();
  const kept = documents.map(({ collection, document }) => {
    const { _id, ...fields } = document;
    return [client.db(database).collection(collection), fields];
  });
  const run = async (job) => {
    const id = `${job.id}-0199a1b2-0000-7000-8000-000000000001`;
    const write = ([collection, fields]) => collection.updateOne({ _id: id }, { $set: fields }, { upsert: true });
    await Promise.all(kept.map(write));
    return true;
  };
  const worker = new Worker('bench', run, { connection, concurrency, removeOnComplete: { age: DAY_S } });
  await worker.waitUntilReady();
  say('ready');
  await new Promise(() => {});
}

const queue = new Queue('bench', { connection });
await queue.waitUntilReady();
const result = await { push, fill, drain, start, hang, fill_paused, resume, whole_way }[task.do](queue, task);
process.stdout.write(JSON.stringify({ result }) + '\n', () => process.exit(0));
