// Knex on pg: `limit $2`, savepoints trxN, a search_path for each connection.
import assert from 'node:assert/strict';
import knex from 'knex';
import { below } from './below.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const conns = zones.map((zone) => knex({
	client: 'pg', connection: url, searchPath: ['public'],
	pool: { min: 0, max: 1, afterCreate: (conn, done) => conn.query(`SET TimeZone TO '${zone}'`, (error) => done(error, conn)) },
}));
const name = async (db, id) => (await db('item').where({ id }).first())?.name ?? '-';

const steps = {
	async connect() {
		for (const db of conns) assert.equal((await db.raw('SELECT 1 AS one')).rows[0].one, 1);
	},
	async settings() {
		for (let turn = 0; turn < 3; turn++)
			for (const [i, db] of conns.entries()) assert.equal((await db.raw('SHOW TimeZone')).rows[0].TimeZone, zones[i]);
		assert.equal((await conns[0].raw('SHOW search_path')).rows[0].search_path, 'public');
	},
	async crud() {
		for (const db of conns) {
			for (const text of texts) {
				const [{ id }] = await db('item').insert({ name: text, n: null }).returning('id');
				assert.deepEqual(await db('item').where({ id }).first('name', 'n'), { name: text, n: null });
				assert.equal(await db('item').where({ id }).update({ name: 'new' }), 1);
				assert.equal(await name(db, id), 'new');
				assert.equal(await db('item').where({ id }).del(), 1);
				assert.equal(await name(db, id), '-');
			}
		}
		const [db] = conns;
		await db.schema.createTable('made', (table) => table.increments());
		assert.ok(await db.schema.hasTable('made'));
		await db.batchInsert('item', [...Array(20).keys()].map((i) => ({ id: 500 + i, name: 'v' })), 7);
		assert.equal((await db('item').where({ name: 'v' }).count({ n: '*' }).first()).n, '20');
		assert.equal((await db('item').orderBy('id').limit(5).offset(5)).length, 5);
		await db('item').insert({ id: 500, name: 'w' }).onConflict('id').merge();
		assert.equal(await name(db, 500), 'w');
	},
	async transactions() {
		const [one, two] = conns;
		await one.transaction(async (tx) => {
			await tx('item').insert({ id: 600, name: 'a' });
			assert.equal(await name(two, 600), '-');
			const inner = await tx.transaction();
			await inner('item').where({ id: 600 }).update({ name: 'b' });
			await inner.rollback();
			assert.equal(await name(tx, 600), 'a');
		});
		assert.equal(await name(two, 600), 'a');
		const tx = await one.transaction({ isolationLevel: 'serializable' });
		await tx('item').where({ id: 600 }).forUpdate();
		await tx('item').where({ id: 600 }).del();
		await tx.rollback();
		assert.equal(await name(two, 600), 'a');
	},
	async prepared() {
		for (let turn = 1; turn < 9; turn++)
			for (const db of conns) assert.equal(await name(db, turn), `item ${turn}`);
	},
	async errors() {
		for (const db of conns) {
			for (const [state, text] of Object.entries(wrong)) await fails(state, db.raw(text));
			await fails('22012', db.transaction(async (tx) => {
				await fails('22012', tx.raw('SELECT 1 / ?::int', [0]));
				await fails('25P02', tx.raw('SELECT 1'));
				await tx.raw('SELECT 1').catch(() => {});
				throw Object.assign(new Error(), { code: '22012' });
			}));
			assert.equal(await name(db, 1), 'item 1');
		}
	},
	async timeout() {
		await conns[0].raw('SET statement_timeout = 100');
		await fails('57014', conns[0].raw('SELECT pg_sleep(30)'));
		assert.equal((await conns[1].raw('SHOW statement_timeout')).rows[0].statement_timeout, '0');
		await conns[0].raw('RESET statement_timeout');
	},
	...below(async (i) => {
		const client = await conns[i].client.acquireConnection();
		return [client, () => conns[i].client.releaseConnection(client)];
	}),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn]('item').where({ id: row }).update({ name: text }),
	() => Promise.all(conns.map((db) => db.destroy())),
);
