// Sequelize: reads as simple queries with literals, several SETs in one message for every connection.
import assert from 'node:assert/strict';
import { DataTypes, Sequelize, Transaction } from 'sequelize';
import { below } from './below.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const conns = zones.map((timezone) => {
	const db = new Sequelize(url, { logging: false, timezone, pool: { max: 1 } });
	const options = { tableName: 'item', timestamps: false };
	db.define('Item', { name: DataTypes.TEXT, n: { type: DataTypes.INTEGER, unique: true } }, options);
	return db;
});
const name = async (db, row, transaction) => (await db.models.Item.findByPk(row, { transaction }))?.name ?? '-';
const one = async (db, text, options) => Object.values((await db.query(text, { plain: true, ...options })))[0];

const steps = {
	async connect() {
		for (const db of conns) await db.authenticate();
	},
	async settings() {
		for (let turn = 0; turn < 3; turn++)
			for (const [i, db] of conns.entries()) assert.equal(await one(db, 'SHOW TimeZone'), zones[i]);
	},
	async crud() {
		for (const { models: { Item } } of conns) {
			for (const text of texts) {
				const item = await Item.create({ name: text, n: null });
				assert.deepEqual((await Item.findByPk(item.id)).get(), { id: item.id, name: text, n: null });
				await item.update({ name: 'new' });
				assert.equal((await Item.findByPk(item.id)).name, 'new');
				await item.destroy();
				assert.equal(await Item.findByPk(item.id), null);
			}
		}
		const { models: { Item } } = conns[0];
		await Item.bulkCreate([...Array(20).keys()].map((i) => ({ id: 500 + i, name: 'v' })));
		const { rows, count } = await Item.findAndCountAll({ where: { name: 'v' }, order: ['id'], limit: 5, offset: 5 });
		assert.deepEqual([count, rows[0].id], [20, 505]);
		assert.ok((await Item.findOrCreate({ where: { n: 7 }, defaults: { name: 'x' } }))[1]); // a function in pg_temp
		assert.ok(!(await Item.findOrCreate({ where: { n: 7 }, defaults: { name: 'x' } }))[1]);
		await Item.upsert({ id: 500, name: 'w' });
		assert.equal(await name(conns[1], 500), 'w');
		const Made = conns[0].define('made', { data: DataTypes.JSONB });
		await Made.sync({ force: true });
		await Made.create({ data: { k: 'é' } });
		assert.equal((await Made.findOne({ where: { 'data.k': 'é' } })).data.k, 'é');
	},
	async transactions() {
		const [first, second] = conns, { Item } = first.models;
		await first.transaction(async (transaction) => {
			await Item.create({ id: 600, name: 'a' }, { transaction });
			assert.equal(await name(second, 600), '-');
			const inner = await first.transaction({ transaction });
			await Item.update({ name: 'b' }, { where: { id: 600 }, transaction: inner });
			await inner.rollback();
			assert.equal(await name(first, 600, transaction), 'a');
		});
		assert.equal(await name(second, 600), 'a');
		const transaction = await first.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE });
		await Item.findByPk(600, { transaction, lock: true });
		await Item.destroy({ where: { id: 600 }, transaction });
		await transaction.rollback();
		assert.equal(await name(second, 600), 'a');
	},
	async prepared() {
		for (let turn = 1; turn < 9; turn++)
			for (const db of conns) assert.equal(await one(db, 'SELECT name FROM item WHERE id = $1', { bind: [turn] }), `item ${turn}`);
	},
	async errors() {
		for (const db of conns) {
			for (const [state, text] of Object.entries(wrong)) await fails(state, db.query(text));
			const transaction = await db.transaction();
			await fails('22012', db.query('SELECT 1 / $1::int', { bind: [0], transaction }));
			await fails('25P02', db.query('SELECT 1', { transaction }));
			await transaction.rollback();
			assert.equal(await name(db, 1), 'item 1');
		}
	},
	async timeout() {
		const db = new Sequelize(url, { logging: false, dialectOptions: { statement_timeout: 100 } });
		await fails('57014', db.query('SELECT pg_sleep(30)'));
		await db.close();
		assert.equal(await one(conns[0], 'SHOW statement_timeout'), '0');
	},
	...below(async (i) => {
		const manager = conns[i].connectionManager, client = await manager.getConnection();
		return [client, () => manager.releaseConnection(client)];
	}),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn].models.Item.update({ name: text }, { where: { id: row } }),
	() => Promise.all(conns.map((db) => db.close())),
);
