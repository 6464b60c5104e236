// node-postgres doing what an application does, on DATABASE_URL. Exits 0 and prints "ok" when all is right.
import assert from 'node:assert/strict';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';

const table = `node_item_${process.pid}`;
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

async function crud() {
	const { rows } = await pool.query(`INSERT INTO ${table} (name, data) VALUES ($1, $2) RETURNING id`, ['weir', { a: [1, null] }]);
	const id = rows[0].id;
	for (let i = 0; i < 20; i++) {
		await pool.query(`UPDATE ${table} SET name = $1 WHERE id = $2`, [`weir ${i}`, id]);
		const read = await pool.query(`SELECT name, data FROM ${table} WHERE id = $1`, [id]);
		assert.deepEqual(read.rows, [{ name: `weir ${i}`, data: { a: [1, null] } }]);
	}
	assert.equal((await pool.query(`DELETE FROM ${table} WHERE id = $1`, [id])).rowCount, 1);
	assert.equal((await pool.query(`SELECT 1 FROM ${table} WHERE id = $1`, [id])).rowCount, 0);
}

async function named(id) {
	const query = { name: 'by-id', text: `SELECT name FROM ${table} WHERE id = $1` };
	await pool.query(`INSERT INTO ${table} (id, name) VALUES ($1, 'named')`, [id]);
	const all = await Promise.all(Array.from({ length: 200 }, () => pool.query({ ...query, values: [id] })));
	assert.ok(all.every((result) => result.rows[0].name === 'named'));
}

async function transactions() {
	const client = await pool.connect();
	try {
		await client.query('BEGIN');
		await client.query(`INSERT INTO ${table} (id, name) VALUES (5000, 'gone')`);
		assert.equal((await client.query(`SELECT name FROM ${table} WHERE id = 5000`)).rowCount, 1);
		await client.query('ROLLBACK');
		assert.equal((await client.query(`SELECT name FROM ${table} WHERE id = 5000`)).rowCount, 0);
		await client.query('BEGIN');
		await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
		await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
		await client.query('COMMIT');
	} finally {
		client.release();
	}
}

async function cursors() {
	const client = await pool.connect();
	try {
		const cursor = client.query(new Cursor('SELECT i FROM generate_series(1, 1000) i'));
		assert.equal((await cursor.read(10)).length, 10);
		assert.equal((await cursor.read(5)).at(-1).i, 15);
		await cursor.close();
		let sum = 0;
		for await (const row of client.query(new QueryStream('SELECT i FROM generate_series(1, 1000) i', [], { batchSize: 64 })))
			sum += row.i;
		assert.equal(sum, 500500);
	} finally {
		client.release();
	}
}

async function several() {
	const result = await pool.query('SELECT 1 AS a; SELECT 2 AS b');
	assert.deepEqual(result.map((one) => one.rows[0]), [{ a: 1 }, { b: 2 }]);
}

await pool.query(`CREATE TABLE ${table} (id serial PRIMARY KEY, name text, data jsonb)`);
try {
	await crud();
	await named(4000);
	await transactions();
	await cursors();
	await several();
	console.log('ok');
} finally {
	await pool.query(`DROP TABLE ${table}`);
	await pool.end();
}
