// Cancel, COPY and LISTEN as postgres.js has them.
import assert from 'node:assert/strict';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { fails, until } from './steps.mjs';

export function belowJs(conns) {
	return {
		async cancel() {
			const query = conns[0]`SELECT pg_sleep(30)`;
			query.execute();
			await until(async () => (await conns[1]`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'`).length > 0);
			query.cancel();
			await fails('57014', query);
			assert.equal((await conns[0]`SELECT name FROM item WHERE id = 1`)[0].name, 'item 1');
		},
		async copy() {
			const sql = conns[2];
			const rows = [...Array(5000).keys()].map((i) => `${10000 + i}\tcopied\n`);
			await pipeline(Readable.from(rows), await sql`COPY item (id, name) FROM STDIN`.writable());
			assert.equal((await sql`DELETE FROM item WHERE name = 'copied'`).count, 5000);
			// COPY TO and bad data leave its streams waiting for ever now and then, with PostgreSQL itself as well.
		},
		async listen() {
			let heard;
			const { unlisten } = await conns[0].listen('channel', (text) => (heard = text));
			await conns[1].notify('channel', 'hello');
			await until(() => heard === 'hello');
			await unlisten();
		},
	};
}
