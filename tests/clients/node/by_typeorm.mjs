// TypeORM: SELECT before every save, transactions around it, doubled parentheses.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { DataSource, EntitySchema } from 'typeorm';
import { below } from './below.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const Item = new EntitySchema({
	name: 'item', tableName: 'item',
	columns: { id: { type: Number, primary: true, generated: true }, name: { type: 'text' }, n: { type: Number, nullable: true, unique: true } },
});
const Owner = new EntitySchema({
	name: 'owner',
	columns: { id: { type: Number, primary: true, generated: true }, name: { type: String }, version: { type: Number, version: true } },
	relations: { things: { type: 'one-to-many', target: 'thing', inverseSide: 'owner', cascade: true } },
});
const Thing = new EntitySchema({
	name: 'thing',
	columns: { id: { type: Number, primary: true, generated: true } },
	relations: { owner: { type: 'many-to-one', target: 'owner', inverseSide: 'things', onDelete: 'CASCADE' } },
});
const conns = zones.map(() => new DataSource({ type: 'postgres', url, entities: [Item, Owner, Thing], poolSize: 1 }));
const name = async (db, id) => (await (db.manager ?? db).findOneBy('item', { id }))?.name ?? '-';
const one = async (db, text) => Object.values((await db.query(text))[0])[0];

const steps = {
	async connect() {
		for (const db of conns) await db.initialize();
		const log = await conns[0].driver.createSchemaBuilder().log();
		for (const { query } of log.upQueries.filter(({ query: text }) => !text.includes('"item"'))) await conns[0].query(query);
	},
	async settings() {
		for (const [i, db] of conns.entries()) await db.query(`SET TimeZone TO '${zones[i]}'`);
		for (let turn = 0; turn < 3; turn++)
			for (const [i, db] of conns.entries()) assert.equal(await one(db, 'SHOW TimeZone'), zones[i]);
	},
	async crud() {
		for (const db of conns) {
			const items = db.getRepository('item');
			for (const text of texts) {
				const item = await items.save({ name: text, n: null });
				assert.deepEqual({ ...(await items.findOneBy({ id: item.id })) }, { id: item.id, name: text, n: null });
				await items.save({ id: item.id, name: 'new' });
				assert.equal(await name(db, item.id), 'new');
				await items.delete({ id: item.id });
				assert.ok(!(await items.existsBy({ id: item.id })));
			}
		}
		const items = conns[0].getRepository('item');
		await items.insert([...Array(20).keys()].map((n) => ({ n, name: 'v' })));
		const [rows, count] = await items.findAndCount({ where: { name: 'v' }, order: { id: 'ASC' }, take: 5, skip: 5 });
		assert.deepEqual([count, rows[0].n], [20, 5]);
		await items.upsert({ n: 5, name: 'w' }, ['n']);
		assert.equal(await name(conns[1], rows[0].id), 'w');
		const owners = conns[0].getRepository('owner');
		const owner = await owners.save({ name: 'o', things: [{}, {}] });
		assert.equal((await owners.findOne({ where: { id: owner.id }, relations: { things: true } })).things.length, 2);
		await owners.save({ id: owner.id, name: 'p' });
		assert.equal((await owners.findOneBy({ id: owner.id })).version, 2);
		await owners.delete({ id: owner.id });
		assert.equal(await conns[1].getRepository('thing').count(), 0);
	},
	async transactions() {
		const [first, second] = conns;
		let id;
		await first.transaction(async (tx) => {
			({ id } = await tx.save('item', { name: 'a' })); // it makes up its ids itself
			assert.equal(await name(second, id), '-');
			await tx.transaction(async (inner) => {
				await inner.update('item', { id }, { name: 'b' });
				throw new RangeError();
			}).catch((error) => assert.ok(error instanceof RangeError));
			assert.equal(await name(tx, id), 'a');
		});
		assert.equal(await name(second, id), 'a');
		await assert.rejects(first.transaction('SERIALIZABLE', async (tx) => {
			await tx.findOne('item', { where: { id }, lock: { mode: 'pessimistic_write' } });
			await tx.delete('item', { id });
			throw new RangeError();
		}), RangeError);
		assert.equal(await name(second, id), 'a');
	},
	async prepared() {
		for (let turn = 1; turn < 9; turn++)
			for (const db of conns) assert.equal(await name(db, turn), `item ${turn}`);
	},
	async errors() {
		for (const db of conns) {
			for (const [state, text] of Object.entries(wrong)) await fails(state, db.query(text));
			const runner = db.createQueryRunner();
			await runner.startTransaction();
			await fails('22012', runner.query('SELECT 1 / $1::int', [0]));
			await fails('25P02', runner.query('SELECT 1'));
			await runner.rollbackTransaction();
			await runner.release();
			assert.equal(await name(db, 1), 'item 1');
		}
	},
	async timeout() {
		const db = await new DataSource({ type: 'postgres', url, extra: { statement_timeout: 100 } }).initialize();
		await fails('57014', db.query('SELECT pg_sleep(30)'));
		await db.destroy();
		assert.equal(await one(conns[0], 'SHOW statement_timeout'), '0');
	},
	...below((i) => conns[i].driver.obtainMasterConnection()),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn].getRepository('item').save({ id: row, name: text }),
	() => Promise.all(conns.map((db) => db.destroy())),
);
