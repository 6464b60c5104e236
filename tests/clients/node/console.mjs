// The console by node-postgres, and by postgres.js, which prepares every statement and must not ask for types. See test_monitors.py.
import assert from 'node:assert/strict';
import pg from 'pg';
import postgres from 'postgres';
import { fails, url } from './steps.mjs';

const conn = new pg.Client({ connectionString: url });
await conn.connect();
for (const query of ['SHOW POOLS', { text: 'SHOW POOLS', values: [] }, { name: 'pools', text: 'SHOW POOLS' }, { name: 'pools', text: 'SHOW POOLS' }]) {
	const { rows, fields, command } = await conn.query(query);
	assert.equal(command, 'SHOW');
	assert.equal(fields[0].name, 'database');
	assert.ok(rows.length >= 2 && rows.every((row) => Number.isInteger(row.cl_active)));
}
assert.equal((await conn.query({ text: 'SHOW LISTS', rowMode: 'array' })).rows[0][0], 'databases');
await fails('42601', conn.query({ text: 'SHOW nonsense', values: [] }));
await fails('42601', conn.query('SHOW nonsense'));
assert.ok((await conn.query('SHOW VERSION')).rows[0].version.startsWith('PgBouncer '));
await conn.query({ text: 'PAUSE postgres', values: [] });
await conn.query({ text: 'RESUME postgres', values: [] });
await conn.end();

const sql = postgres(url, { max: 2, fetch_types: false });
for (let turn = 0; turn < 3; turn++) assert.ok((await sql`SHOW STATS`).length >= 2);
assert.equal((await sql`SHOW STATE`)[0].key, 'active');
await fails('42601', sql`SHOW nonsense`);
await sql.end();
console.log('ok');
