// One round of a queue's life, with types that were generated from the OpenAPI document.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

const client = createClient<paths>({ baseUrl: process.env.OUTLAST_HTTP ?? 'http://localhost:9644' });
const path = { queue: 'http-node' };

/** What a request must have answered; a problem becomes an exception that says what it is. */
function answered<T>(answer: { data?: T; error?: components['schemas']['Problem'] }): T {
  if (answer.data === undefined) {
    throw new Error(answer.error?.detail ?? 'no answer');
  }
  return answer.data;
}

async function receiveOne() {
  const body = { waitMs: 10_000, worker: 'node-worker' } as components['schemas']['ReceiveRequest'];
  const received = answered(await client.POST('/v1/queues/{queue}/receive', { params: { path }, body }));
  assert.equal(received.messages.length, 1);
  return received.messages[0];
}

async function stats() {
  return answered(await client.GET('/v1/queues/{queue}/stats', { params: { path } }));
}

const missing = await client.GET('/v1/queues/{queue}', { params: { path } });
assert.equal(missing.error?.type, 'urn:outlast:problem:queue-not-found');

const settings = { 'retry.policy': 'fixed', 'retry.initial.delay.ms': '0' };
answered(await client.PUT('/v1/queues/{queue}', { params: { path }, body: { partitions: 1, settings } }));

const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('base64');
const messages = [{ value: 'hello', key: 'greeting' }, { valueBase64: binary }];
const published = answered(
  await client.POST('/v1/queues/{queue}/messages', { params: { path }, body: { messages } }),
);
assert.deepEqual(published.messages.map((message) => message.offset), [0, 1]);

const first = await receiveOne();
assert.deepEqual([first.value, first.key, first.deliveryCount], ['hello', 'greeting', 1]);
const giveBack = { receipts: [first.receipt], delayMs: 0, counts: true };
answered(await client.POST('/v1/queues/{queue}/release', { params: { path }, body: giveBack }));
const again = await receiveOne();
assert.deepEqual([again.value, again.deliveryCount], ['hello', 2]);
const done = { receipts: [again.receipt] };
const settled = answered(await client.POST('/v1/queues/{queue}/acknowledge', { params: { path }, body: done }));
assert.equal(settled.failed, 0);

const second = await receiveOne();
assert.equal(second.valueBase64, binary);
const bad = { receipts: [second.receipt] };
answered(await client.POST('/v1/queues/{queue}/reject', { params: { path }, body: bad }));
while ((await stats()).dead !== 1) {
  await sleep(50);
}
const page = answered(await client.GET('/v1/queues/{queue}/dead-letters', { params: { path } }));
assert.equal(page.deadLetters[0].reason, 'rejected');
assert.equal(page.deadLetters[0].lastWorker, 'node-worker');

const redrive = { rate: 1000 } as components['schemas']['RedriveRequest'];
const started = await client.POST('/v1/queues/{queue}/dead-letters/redrive', { params: { path }, body: redrive });
let job = answered(started) as components['schemas']['Job'];
while (job.state === 'running') {
  await sleep(50);
  job = answered(await client.GET('/v1/redrives/{id}', { params: { path: { id: job.id } } }));
}
assert.deepEqual([job.state, job.moved], ['done', 1]);
const back = await receiveOne();
assert.equal(back.valueBase64, binary);
const last = { receipts: [back.receipt] };
answered(await client.POST('/v1/queues/{queue}/acknowledge', { params: { path }, body: last }));
assert.equal((await stats()).sinceStart.acknowledged, 2);

assert.equal(answered(await client.DELETE('/v1/queues/{queue}', { params: { path } })).topicDeleted, true);
console.log("a round of a queue's life: ok");
