// Drizzle, on pg or on postgres.js: node by_drizzle.mjs pg|js
import assert from 'node:assert/strict';
import { eq, inArray, relations, sql } from 'drizzle-orm';
import { drizzle as onPg } from 'drizzle-orm/node-postgres';
import { drizzle as onJs } from 'drizzle-orm/postgres-js';
import { integer, jsonb, pgTable, serial, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import postgres from 'postgres';
import { below } from './below.mjs';
import { belowJs } from './below_js.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

const item = pgTable('item', { id: serial('id').primaryKey(), name: text('name').notNull(), n: integer('n') });
const part = pgTable('part', { id: serial('id').primaryKey(), itemId: integer('item_id').references(() => item.id), data: jsonb('data') });
const schema = {
	item, part,
	itemRelations: relations(item, ({ many }) => ({ parts: many(part) })),
	partRelations: relations(part, ({ one }) => ({ item: one(item, { fields: [part.itemId], references: [item.id] }) })),
};
const js = process.argv[2] === 'js';
const clients = zones.map(() => (js ? postgres(url, { max: 1, onnotice: () => {} }) : new pg.Pool({ connectionString: url, max: 1 })));
const conns = clients.map((client) => (js ? onJs(client, { schema }) : onPg(client, { schema })));
const name = async (db, id) => (await db.select().from(item).where(eq(item.id, id)))[0]?.name ?? '-';
const rows = (answer) => (js ? answer : answer.rows);
const one = async (db, query) => Object.values(rows(await db.execute(query))[0])[0];

const steps = {
	async connect() {
		for (const db of conns) assert.equal(await one(db, 'SELECT 1 AS one'), 1);
		await conns[0].execute('CREATE TABLE part (id serial PRIMARY KEY, item_id int REFERENCES item, data jsonb)');
	},
	async settings() {
		for (const [i, db] of conns.entries()) await db.execute(`SET TimeZone TO '${zones[i]}'`);
		for (let turn = 0; turn < 3; turn++)
			for (const [i, db] of conns.entries()) assert.equal(await one(db, 'SHOW TimeZone'), zones[i]);
	},
	async crud() {
		for (const db of conns) {
			for (const long of texts) {
				const [{ id }] = await db.insert(item).values({ name: long, n: null }).returning();
				assert.deepEqual(await db.select().from(item).where(eq(item.id, id)), [{ id, name: long, n: null }]);
				await db.update(item).set({ name: 'new' }).where(eq(item.id, id));
				assert.equal(await name(db, id), 'new');
				assert.equal((await db.delete(item).where(eq(item.id, id)).returning()).length, 1);
				assert.equal(await name(db, id), '-');
			}
		}
		const [db] = conns;
		await db.insert(item).values([...Array(20).keys()].map((i) => ({ id: 500 + i, name: 'v' })));
		assert.equal(await db.$count(item, eq(item.name, 'v')), 20);
		assert.equal((await db.select().from(item).where(inArray(item.id, [500, 501])).orderBy(item.id).limit(5)).length, 2);
		await db.insert(part).values([{ itemId: 500, data: { k: 'é' } }, { itemId: 500 }]);
		const found = await db.query.item.findFirst({ where: eq(item.id, 500), with: { parts: true } }); // a lateral join
		assert.deepEqual([found.parts.length, found.parts[0].data], [2, { k: 'é' }]);
		await db.insert(item).values({ id: 501, name: 'w' }).onConflictDoUpdate({ target: item.id, set: { name: 'w' } });
		assert.equal(await name(conns[1], 501), 'w');
	},
	async transactions() {
		const [first, second] = conns;
		await first.transaction(async (tx) => {
			await tx.insert(item).values({ id: 600, name: 'a' });
			assert.equal(await name(second, 600), '-');
			await tx.transaction(async (inner) => {
				await inner.update(item).set({ name: 'b' }).where(eq(item.id, 600));
				throw new RangeError();
			}).catch((error) => assert.ok(error instanceof RangeError));
			assert.equal(await name(tx, 600), 'a');
		});
		assert.equal(await name(second, 600), 'a');
		await assert.rejects(first.transaction(async (tx) => {
			await tx.select().from(item).where(eq(item.id, 600)).for('update');
			await tx.delete(item).where(eq(item.id, 600));
			tx.rollback();
		}, { isolationLevel: 'serializable' }), { message: 'Rollback' });
		assert.equal(await name(second, 600), 'a');
	},
	async prepared() {
		const made = conns.map((db, i) => db.select({ sum: sql`${sql.placeholder('n')}::int + ${sql.raw(String(i))}` }).from(item).where(eq(item.id, 1)).prepare('mine'));
		for (let turn = 0; turn < 8; turn++)
			for (const [i, statement] of made.entries()) assert.equal((await statement.execute({ n: turn }))[0].sum, turn + i);
	},
	async errors() {
		for (const db of conns) {
			for (const [state, query] of Object.entries(wrong)) await fails(state, db.execute(query));
			await assert.rejects(db.transaction(async (tx) => {
				await fails('22012', tx.execute(sql`SELECT 1 / ${0}::int`));
				await fails('25P02', tx.execute('SELECT 1'));
				tx.rollback();
			}));
			assert.equal(await name(db, 1), 'item 1');
		}
	},
	async timeout() {
		await conns[0].execute('SET statement_timeout = 100');
		await fails('57014', conns[0].execute('SELECT pg_sleep(30)'));
		assert.equal(await one(conns[1], 'SHOW statement_timeout'), '0');
		await conns[0].execute('RESET statement_timeout');
	},
	...(js ? belowJs(clients) : below(async (i) => {
		const client = await clients[i].connect();
		return [client, () => client.release()];
	})),
};

await main(
	steps,
	(conn, row) => name(conns[conn], row),
	(conn, row, long) => conns[conn].update(item).set({ name: long }).where(eq(item.id, row)),
	() => Promise.all(clients.map((client) => client.end())),
);
