// Cancel, COPY and LISTEN by node-postgres' own client: what an ORM has no words for is done on the connection that it lends.
import assert from 'node:assert/strict';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { fails, until, url } from './steps.mjs';

/** lend(i) resolves to [client, giveBack] of connection i. */
export function below(lend) {
	async function using(i, work) {
		const [client, giveBack] = await lend(i);
		try {
			return await work(client);
		} finally {
			await giveBack();
		}
	}
	return {
		/** A request of its own, which pg keeps for itself; until one arrives while the query runs. */
		cancel: () => using(0, async (client) => {
			const asker = setInterval(() => {
				const cancel = new client.constructor({ connectionString: url });
				const link = cancel.connection;
				link.on('connect', () => link.cancel(client.processID, client.secretKey));
				link.on('error', () => {});
				link.connect(cancel.port, cancel.host);
			}, 100);
			await fails('57014', client.query('SELECT pg_sleep(30)'));
			clearInterval(asker);
			await until(async () => (await client.query('SELECT 1').catch(() => null))?.rowCount === 1);
		}),
		copy: () => using(2, async (client) => {
			const rows = [...Array(5000).keys()].map((i) => `${10000 + i}\tcopied\n`);
			await pipeline(Readable.from(rows), client.query(copyFrom('COPY item (id, name) FROM STDIN')));
			let got = '';
			for await (const chunk of client.query(copyTo('COPY (SELECT id, name FROM item WHERE id >= 10000 ORDER BY id) TO STDOUT'))) got += chunk;
			assert.equal(got, rows.join(''));
			await fails('22P02', pipeline(Readable.from(['x\ty\n']), client.query(copyFrom('COPY item (id, name) FROM STDIN'))));
			await client.query('DELETE FROM item WHERE id >= 10000');
		}),
		listen: () => using(0, async (hears) => {
			const heard = new Promise((hear) => hears.on('notification', (message) => hear(message.payload)));
			await hears.query('LISTEN channel');
			await using(1, (says) => says.query("NOTIFY channel, 'hello'"));
			assert.equal(await heard, 'hello');
			await hears.query('UNLISTEN *');
		}),
	};
}
