// postgres.js: statements of random names, Describe and Flush, everything pipelined, a LISTEN connection of its own.
import assert from 'node:assert/strict';
import postgres from 'postgres';
import { belowJs } from './below_js.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const quiet = { onnotice: () => {} };
const conns = zones.map((TimeZone) => postgres(url, { ...quiet, max: 1, connection: { TimeZone } }));
const name = async (sql, row) => (await sql`SELECT name FROM item WHERE id = ${row}`)[0]?.name ?? '-';

const steps = {
	async connect() {
		for (const sql of conns) assert.equal((await sql`SELECT 1 AS one`)[0].one, 1);
		const pool = postgres(url, { ...quiet, max: 4 });
		const many = await Promise.all([...Array(100).keys()].map((i) => pool`SELECT ${i}::int AS i, name FROM item WHERE id = ${1 + (i % 2)}`));
		many.forEach(([row], i) => assert.deepEqual({ ...row }, { i, name: `item ${1 + (i % 2)}` }));
		await pool.end();
	},
	async settings() {
		for (let turn = 0; turn < 3; turn++)
			for (const [i, sql] of conns.entries()) assert.equal((await sql`SHOW TimeZone`)[0].TimeZone, zones[i]);
	},
	async crud() {
		for (const sql of conns) {
			for (const text of texts) {
				const [{ id }] = await sql`INSERT INTO item ${sql({ name: text, n: null })} RETURNING id`;
				assert.deepEqual([...(await sql`SELECT name, n FROM item WHERE id = ${id}`)], [{ name: text, n: null }]);
				assert.equal((await sql`UPDATE item SET name = 'new' WHERE id = ${id}`).count, 1);
				assert.equal(await name(sql, id), 'new');
				assert.equal((await sql`DELETE FROM item WHERE id = ${id}`).count, 1);
				assert.equal(await name(sql, id), '-');
			}
		}
		const [sql] = conns;
		await sql`INSERT INTO item ${sql([500, 501, 502].map((id) => ({ id, name: 'v' })))}`;
		assert.equal((await sql`SELECT id FROM item WHERE id IN ${sql([500, 501])}`).length, 2);
		for await (const rows of sql`SELECT generate_series(1, 100) g`.cursor(10)) assert.equal(rows.length, 10);
	},
	async transactions() {
		const [one, two] = conns;
		await one.begin(async (tx) => {
			await tx`INSERT INTO item (id, name) VALUES (600, 'a')`;
			assert.equal(await name(two, 600), '-');
			await tx.savepoint(async (inner) => {
				await inner`UPDATE item SET name = 'b' WHERE id = 600`;
				throw new RangeError();
			}).catch((error) => assert.ok(error instanceof RangeError));
			assert.equal(await name(tx, 600), 'a');
		});
		assert.equal(await name(two, 600), 'a');
		await assert.rejects(one.begin('isolation level serializable', async (tx) => {
			await tx`DELETE FROM item WHERE id = 600`;
			throw new RangeError();
		}), RangeError);
		assert.equal(await name(two, 600), 'a');
	},
	async prepared() {
		for (let turn = 0; turn < 8; turn++)
			for (const [i, sql] of conns.entries()) assert.equal((await sql`SELECT ${turn}::int + ${i}::int AS sum`)[0].sum, turn + i);
	},
	async errors() {
		for (const sql of conns) {
			for (const [state, text] of Object.entries(wrong)) await fails(state, sql.unsafe(text));
			await fails('22012', sql`SELECT 1 / ${0}::int`);
			await fails('22012', sql.begin(async (tx) => {
				await fails('22012', tx`SELECT 1/0`);
				await fails('25P02', tx`SELECT 1`);
			}));
			assert.equal(await name(sql, 1), 'item 1');
		}
	},
	async timeout() {
		const sql = postgres(url, { ...quiet, max: 1, connection: { statement_timeout: 100 } });
		await fails('57014', sql`SELECT pg_sleep(30)`);
		await sql.end();
		assert.equal((await conns[0]`SHOW statement_timeout`)[0].statement_timeout, '0');
	},
	...belowJs(conns),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn]`UPDATE item SET name = ${text} WHERE id = ${row}`,
	() => Promise.all(conns.map((sql) => sql.end())),
);
