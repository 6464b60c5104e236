// What the Node clients share: they run their steps, then serve reads and writes. See test_clients.py.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

export const url = process.env.DATABASE_URL;
export const zones = ['UTC', 'Europe/Berlin', 'Asia/Tokyo', 'America/Lima'];
export const long = 'ü'.repeat(150_000);
export const texts = ["it's \\ ü", long];
export const wrong = { 23505: "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01': 'SELECT * FROM nope', 22012: 'SELECT 1/0' };

/** The promise must be refused with this SQLSTATE, wherever the client keeps it. */
export const fails = (state, promise) =>
	assert.rejects(promise, (error) => {
		const found = [];
		for (let at = error; at; at = at.cause ?? at.original ?? at.driverError) found.push(at.code, at.originalCode, at.meta?.code, at.sqlState);
		assert.ok(found.includes(state), `${found} in place of ${state}: ${error.stack}`);
		return true;
	});

export async function until(what) {
	for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((go) => setTimeout(go, 10))) {
		if (await what()) return;
	}
	assert.fail('waited in vain');
}

/** steps: { name: async function }; get(conn, id) and put(conn, id, name) serve until standard input ends. */
export async function main(steps, get, put, end) {
	for (const [name, step] of Object.entries(steps)) {
		await step();
		console.log(`ok ${name}`);
	}
	console.log('serve');
	for await (const line of createInterface({ input: process.stdin })) {
		const [word, conn, row, name] = line.split(' ');
		if (word === 'get') {
			console.log(await get(+conn, +row));
		} else {
			await put(+conn, +row, name);
			console.log('done');
		}
	}
	await end?.();
}
