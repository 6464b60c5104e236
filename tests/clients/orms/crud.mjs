// Drivers and ORMs that send PostgreSQL something of their own: reads that have to hit, transactions, savepoints, pipelines,
// LISTEN, cursors. Prints the name of each that went through.
import assert from 'node:assert/strict';
import { eq } from 'drizzle-orm';
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres';
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js';
import { pgTable, serial, text } from 'drizzle-orm/pg-core';
import knexOf from 'knex';
import pg from 'pg';
import postgres from 'postgres';
import 'reflect-metadata';
import { DataTypes, Sequelize } from 'sequelize';
import { DataSource, EntitySchema } from 'typeorm';

const url = process.env.DATABASE_URL;
const quiet = { max: 4, onnotice: () => {} };
const until = async (what) => {
	for (const end = Date.now() + 5000; Date.now() < end; await new Promise((go) => setTimeout(go, 10))) {
		if (what()) return;
	}
	assert.fail('waited in vain');
};

async function postgresJs() {
	const sql = postgres(url, quiet);
	await sql`create table pj (id int primary key, v text)`;
	await sql`insert into pj ${sql([{ id: 1, v: 'a' }, { id: 2, v: 'b' }])}`;
	for (let i = 0; i < 5; i++) assert.equal((await sql`select * from pj where id = ${1}`)[0].v, 'a');
	await sql.begin(async (tx) => {
		await tx`update pj set v = 'c' where id = 1`;
		assert.equal((await tx`select v from pj where id = 1`)[0].v, 'c');
	});
	assert.equal((await sql`select v from pj where id = ${1}`)[0].v, 'c');
	const many = await Promise.all([...Array(30).keys()].map((i) => sql`select ${i}::int as i, v from pj where id = ${1 + (i % 2)}`));
	many.forEach((rows, i) => assert.equal(rows[0].i, i));
	await assert.rejects(sql`select * from nope`, { code: '42P01' });
	let heard;
	await sql.listen('chan', (text) => (heard = text));
	await sql.notify('chan', 'hello');
	await until(() => heard === 'hello');
	for await (const rows of sql`select generate_series(1, 100) g`.cursor(10)) assert.equal(rows.length, 10);
	await sql.end();
}

async function knex() {
	const db = knexOf({ client: 'pg', connection: url, pool: { min: 0, max: 4 }, searchPath: ['public'] });
	await db.schema.createTable('kx', (t) => {
		t.increments();
		t.string('v');
	});
	const [{ id }] = await db('kx').insert({ v: 'x' }).returning('id');
	assert.equal((await db('kx').where({ id }).first()).v, 'x');
	await db.transaction(async (tx) => {
		await tx('kx').where({ id }).update({ v: 'y' });
		const inner = await tx.transaction();
		await inner('kx').where({ id }).update({ v: 'z' });
		await inner.rollback();
		assert.equal((await tx('kx').where({ id }).first()).v, 'y');
	});
	assert.equal((await db('kx').where({ id }).first()).v, 'y');
	await db.destroy();
}

async function sequelize() {
	const db = new Sequelize(url, { logging: false });
	const User = db.define('sq_user', { name: DataTypes.STRING });
	await db.sync({ force: true });
	const user = await User.create({ name: 'John' });
	assert.equal((await User.findByPk(user.id)).name, 'John');
	await db.transaction((transaction) => User.update({ name: 'Mike' }, { where: { id: user.id }, transaction }));
	for (let i = 0; i < 4; i++) assert.equal((await User.findByPk(user.id)).name, 'Mike');
	const [, created] = await User.findOrCreate({ where: { name: 'New' } });
	assert.ok(created);
	await user.destroy();
	assert.equal(await User.findByPk(user.id), null);
	await db.close();
}

async function typeorm() {
	const User = new EntitySchema({
		name: 'ty_user',
		columns: { id: { type: Number, primary: true, generated: true }, name: { type: String }, version: { type: Number, version: true } },
	});
	const db = await new DataSource({ type: 'postgres', url, entities: [User], synchronize: true }).initialize();
	const users = db.getRepository('ty_user');
	const user = await users.save({ name: 'John' });
	assert.equal((await users.findOneBy({ id: user.id })).name, 'John');
	await users.save({ ...user, name: 'Mike' });
	assert.equal((await users.findOneBy({ id: user.id })).name, 'Mike');
	assert.equal(await users.count(), 1);
	await db.transaction('SERIALIZABLE', (tx) => tx.findOneBy('ty_user', { id: user.id }));
	await db.destroy();
}

async function drizzle() {
	const table = pgTable('dz', { id: serial('id').primaryKey(), v: text('v') });
	const pool = new pg.Pool({ connectionString: url });
	const sql = postgres(url, quiet);
	for (const db of [drizzlePg(pool), drizzleJs(sql)]) {
		await db.execute('drop table if exists dz');
		await db.execute('create table dz (id serial primary key, v text)');
		const [{ id }] = await db.insert(table).values({ v: 'q' }).returning();
		for (let i = 0; i < 4; i++) assert.equal((await db.select().from(table).where(eq(table.id, id)))[0].v, 'q');
		await db.transaction((tx) => tx.update(table).set({ v: 'w' }).where(eq(table.id, id)));
		assert.equal((await db.select().from(table).where(eq(table.id, id)))[0].v, 'w');
	}
	await sql.end();
	await pool.end();
}

for (const client of [postgresJs, knex, sequelize, typeorm, drizzle]) {
	await client();
	console.log(client.name);
}
