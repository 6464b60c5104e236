// node-postgres: unnamed statements with parameters, simple queries without, named ones, cursors, streams, COPY.
import assert from 'node:assert/strict';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { below } from './below.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const conns = zones.map(() => new pg.Client({ connectionString: url }));
const value = async (conn, text, values) => Object.values((await conn.query(text, values)).rows[0] ?? { none: '-' })[0];
const name = (conn, row) => value(conn, 'SELECT name FROM item WHERE id = $1', [row]);

const steps = {
	async connect() {
		for (const conn of conns) {
			await conn.connect();
			assert.equal(await value(conn, 'SELECT 1'), 1);
		}
		const pool = new pg.Pool({ connectionString: url, max: 10 });
		const all = await Promise.all([...Array(100).keys()].map((i) => pool.query({ name: 'by-id', text: 'SELECT id FROM item WHERE id = $1', values: [1 + i] })));
		all.forEach((answer, i) => assert.equal(answer.rows[0].id, 1 + i));
		await pool.end();
	},
	async settings() {
		for (const [i, conn] of conns.entries()) await conn.query(`SET TimeZone TO '${zones[i]}'`);
		for (let turn = 0; turn < 3; turn++) assert.deepEqual(await Promise.all(conns.map((conn) => value(conn, 'SHOW TimeZone'))), zones);
	},
	async crud() {
		for (const conn of conns) {
			for (const text of texts) {
				const row = await value(conn, 'INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id', [text, null]);
				assert.deepEqual((await conn.query('SELECT name, n FROM item WHERE id = $1', [row])).rows, [{ name: text, n: null }]);
				assert.deepEqual((await conn.query({ text: 'SELECT name FROM item WHERE id = $1', values: [row], binary: true })).rows, [{ name: text }]);
				assert.equal((await conn.query('UPDATE item SET name = $1 WHERE id = $2', ['new', row])).rowCount, 1);
				assert.equal(await value(conn, `SELECT name FROM item WHERE id = ${row}`), 'new');
				assert.equal((await conn.query('DELETE FROM item WHERE id = $1', [row])).rowCount, 1);
				assert.equal(await name(conn, row), '-');
			}
		}
		const cursor = conns[0].query(new Cursor('SELECT i FROM generate_series(1, 1000) i'));
		assert.equal((await cursor.read(10)).length, 10);
		assert.equal((await cursor.read(5)).at(-1).i, 15);
		await cursor.close();
		let sum = 0;
		for await (const row of conns[1].query(new QueryStream('SELECT i FROM generate_series(1, 1000) i', [], { batchSize: 64 }))) sum += row.i;
		assert.equal(sum, 500500);
		assert.deepEqual((await conns[2].query('SELECT 1 AS a; SELECT 2 AS b')).map((one) => one.rows[0]), [{ a: 1 }, { b: 2 }]);
	},
	async transactions() {
		const [one, two] = conns;
		await one.query('BEGIN');
		await one.query("INSERT INTO item (id, name) VALUES (600, 'a')");
		assert.equal(await name(two, 600), '-');
		await one.query('SAVEPOINT s');
		await one.query("UPDATE item SET name = 'b' WHERE id = 600");
		await one.query('ROLLBACK TO s');
		await one.query('COMMIT');
		assert.equal(await name(two, 600), 'a');
		await one.query('BEGIN');
		await one.query('DELETE FROM item WHERE id = 600');
		await one.query('ROLLBACK');
		assert.equal(await name(two, 600), 'a');
	},
	async prepared() {
		for (let turn = 0; turn < 8; turn++) {
			const sums = conns.map((conn, i) => conn.query({ name: 'mine', text: `SELECT $1::int + ${i} AS sum`, values: [turn] }));
			(await Promise.all(sums)).forEach((answer, i) => assert.equal(answer.rows[0].sum, turn + i));
		}
	},
	async errors() {
		for (const conn of conns) {
			for (const [state, text] of Object.entries(wrong)) {
				await fails(state, conn.query(text));
				await fails(state, conn.query({ text, values: [], name: `wrong ${state}` }));
			}
			await conn.query('BEGIN');
			await fails('22012', conn.query('SELECT 1 / $1::int', [0]));
			await fails('25P02', conn.query('SELECT 1'));
			await conn.query('COMMIT');
			assert.equal(await name(conn, 1), 'item 1');
		}
	},
	async timeout() {
		const conn = new pg.Client({ connectionString: url, statement_timeout: 100 });
		await conn.connect();
		await fails('57014', conn.query('SELECT pg_sleep(30)'));
		await conn.end();
		assert.equal(await value(conns[0], 'SHOW statement_timeout'), '0');
	},
	...below(async (i) => [conns[i], () => {}]),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn].query('UPDATE item SET name = $1 WHERE id = $2', [text, row]),
	() => Promise.all(conns.map((conn) => conn.end())),
);
