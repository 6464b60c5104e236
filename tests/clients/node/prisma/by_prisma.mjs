// Prisma 7 by adapter-pg: AND 1=1, LIMIT $2 OFFSET $3, a dataloader that turns reads by key into IN lists.
import assert from 'node:assert/strict';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { below } from '../below.mjs';
import { main, texts, url, wrong, zones } from '../steps.mjs';
import prisma from './generated/index.js';

const pools = zones.map(() => new pg.Pool({ connectionString: url, max: 1 }));
const conns = pools.map((pool) => new prisma.PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) }));
const name = async (db, id) => (await db.item.findUnique({ where: { id } }))?.name ?? '-';
const one = async (db, text) => Object.values((await db.$queryRawUnsafe(text))[0])[0];

const steps = {
	async connect() {
		for (const db of conns) assert.equal(await one(db, 'SELECT 1 AS one'), 1);
		await conns[0].$executeRawUnsafe('CREATE TABLE part (id serial PRIMARY KEY, item_id int REFERENCES item ON DELETE CASCADE, data jsonb)');
	},
	async settings() {
		for (const [i, db] of conns.entries()) await db.$executeRawUnsafe(`SET TimeZone TO '${zones[i]}'`);
		for (let turn = 0; turn < 3; turn++)
			for (const [i, db] of conns.entries()) assert.equal(await one(db, 'SHOW TimeZone'), zones[i]);
	},
	async crud() {
		for (const db of conns) {
			for (const text of texts) {
				const { id } = await db.item.create({ data: { name: text, n: null } });
				assert.deepEqual(await db.item.findUnique({ where: { id } }), { id, name: text, n: null });
				await db.item.update({ where: { id }, data: { name: 'new' } });
				assert.equal(await name(db, id), 'new');
				await db.item.delete({ where: { id } });
				assert.equal(await name(db, id), '-');
			}
		}
		const [db] = conns;
		await db.item.createMany({ data: [...Array(20).keys()].map((i) => ({ id: 500 + i, name: 'v' })) });
		const [rows, count] = await db.$transaction([db.item.findMany({ where: { name: 'v' }, orderBy: { id: 'asc' }, take: 5, skip: 5 }), db.item.count({ where: { name: 'v' } })]);
		assert.deepEqual([count, rows[0].id], [20, 505]);
		assert.deepEqual(await Promise.all([1, 2, 3, 4].map((id) => name(db, id))), ['item 1', 'item 2', 'item 3', 'item 4']);
		await db.item.update({ where: { id: 500 }, data: { parts: { create: [{ data: { k: 'é' } }, {}] } } });
		assert.equal((await conns[1].item.findUnique({ where: { id: 500 }, include: { parts: true } })).parts.length, 2);
		assert.equal((await db.part.findFirst({ where: { data: { path: ['k'], equals: 'é' } } })).itemId, 500);
		await db.item.upsert({ where: { id: 501 }, update: { name: 'w' }, create: { name: 'w' } });
		assert.equal(await name(conns[1], 501), 'w');
	},
	async transactions() {
		const [first, second] = conns;
		await first.$transaction(async (tx) => {
			await tx.item.create({ data: { id: 600, name: 'a' } });
			assert.equal(await name(second, 600), '-');
			await tx.$executeRaw`SAVEPOINT s`;
			await tx.item.update({ where: { id: 600 }, data: { name: 'b' } });
			await tx.$executeRaw`ROLLBACK TO s`;
			assert.equal(await name(tx, 600), 'a');
		});
		assert.equal(await name(second, 600), 'a');
		await assert.rejects(first.$transaction(async (tx) => {
			await tx.item.delete({ where: { id: 600 } });
			throw new RangeError();
		}, { isolationLevel: 'Serializable' }), RangeError);
		assert.equal(await name(second, 600), 'a');
	},
	async prepared() {
		for (let turn = 0; turn < 8; turn++)
			for (const [i, db] of conns.entries()) assert.equal((await db.$queryRaw`SELECT ${turn}::int + ${i}::int AS sum`)[0].sum, turn + i);
	},
	async errors() {
		for (const db of conns) {
			await assert.rejects(db.item.create({ data: { id: 1, name: 'twice' } }), { code: 'P2002' });
			for (const state of ['42P01', '22012']) {
				const error = await db.$queryRawUnsafe(wrong[state]).then(() => assert.fail('no error'), (caught) => caught);
				assert.ok(JSON.stringify([error.meta, error.message]).includes(state), error.stack);
			}
			await assert.rejects(db.$transaction(async (tx) => {
				await assert.rejects(tx.$queryRaw`SELECT 1 / ${0}::int`, /22012|division by zero/);
				await assert.rejects(tx.$queryRaw`SELECT 1`, /25P02|aborted/);
				throw new RangeError();
			}), RangeError);
			assert.equal(await name(db, 1), 'item 1');
		}
	},
	async timeout() {
		await conns[0].$executeRaw`SET statement_timeout = 100`;
		await assert.rejects(conns[0].$queryRaw`SELECT pg_sleep(30)::text`, /57014|statement timeout/);
		assert.equal(await one(conns[1], 'SHOW statement_timeout'), '0');
		await conns[0].$executeRaw`RESET statement_timeout`;
	},
	...below(async (i) => {
		const client = await pools[i].connect();
		return [client, () => client.release()];
	}),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, text) => conns[conn].item.update({ where: { id: row }, data: { name: text } }),
	() => Promise.all(conns.map((db) => db.$disconnect())),
);
