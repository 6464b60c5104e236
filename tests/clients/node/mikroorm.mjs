// MikroORM, 6 and 7: simple queries only, literals in the text, a unit of work that writes at flush().
import assert from 'node:assert/strict';
import { below } from './below.mjs';
import { fails, main, texts, url, wrong, zones } from './steps.mjs';

export async function run({ EntitySchema, LockMode, MikroORM }) {
	const Item = new EntitySchema({
		name: 'Item', tableName: 'item',
		properties: {
			id: { type: 'number', primary: true }, name: { type: 'text' }, n: { type: 'number', nullable: true },
			parts: { kind: '1:m', entity: () => 'Part', mappedBy: 'item', orphanRemoval: true },
		},
	});
	const Part = new EntitySchema({
		name: 'Part', tableName: 'part',
		properties: {
			id: { type: 'number', primary: true }, version: { type: 'number', version: true }, data: { type: 'json', nullable: true },
			item: { kind: 'm:1', entity: () => 'Item', nullable: true },
		},
	});
	const conns = await Promise.all(zones.map((zone) => MikroORM.init({
		entities: [Item, Part], clientUrl: url, contextName: zone, pool: { min: 0, max: 1 },
	})));
	const nameBy = async (em, id) => (await em.findOne('Item', { id }))?.name ?? '-';
	const name = (orm, id) => nameBy(orm.em.fork(), id);
	const one = async (orm, text) => Object.values((await orm.em.getConnection().execute(text))[0])[0];

	const steps = {
		async connect() {
			for (const orm of conns) assert.equal(await one(orm, 'SELECT 1 AS one'), 1);
			await conns[0].em.getConnection().execute('CREATE TABLE part (id serial PRIMARY KEY, version int NOT NULL DEFAULT 1, data jsonb, item_id int REFERENCES item ON DELETE CASCADE)');
		},
		async settings() {
			for (const [i, orm] of conns.entries()) await orm.em.getConnection().execute(`SET TimeZone TO '${zones[i]}'`);
			for (let turn = 0; turn < 3; turn++)
				for (const [i, orm] of conns.entries()) assert.equal(await one(orm, 'SHOW TimeZone'), zones[i]);
		},
		async crud() {
			for (const orm of conns) {
				for (const text of texts) {
					const em = orm.em.fork();
					const item = em.create('Item', { name: text, n: null });
					await em.persist(item).flush();
					assert.equal(await name(orm, item.id), text);
					item.name = 'new';
					await em.flush();
					assert.equal(await name(orm, item.id), 'new');
					const { id } = item;
					await em.remove(item).flush();
					assert.equal(await name(orm, id), '-');
				}
			}
			const em = conns[0].em.fork();
			for (let id = 500; id < 520; id++) em.create('Item', { id, name: 'v' });
			await em.flush();
			const [rows, count] = await em.fork().findAndCount('Item', { name: 'v' }, { orderBy: { id: 'asc' }, limit: 5, offset: 5 });
			assert.deepEqual([count, rows[0].id], [20, 505]);
			em.create('Part', { item: 500, data: { k: 'é' } });
			em.create('Part', { item: 500 });
			await em.flush();
			for (const strategy of ['joined', 'select-in'])
				assert.equal((await conns[1].em.fork().findOne('Item', { id: 500 }, { populate: ['parts'], strategy })).parts.length, 2);
			await em.fork().upsert('Item', { id: 501, name: 'w' });
			assert.equal(await name(conns[1], 501), 'w');
		},
		async transactions() {
			const [first, second] = conns;
			await first.em.fork().transactional(async (tx) => {
				await tx.insert('Item', { id: 600, name: 'a' });
				assert.equal(await name(second, 600), '-');
				await tx.transactional(async (inner) => {
					await inner.nativeUpdate('Item', { id: 600 }, { name: 'b' });
					throw new RangeError();
				}).catch((error) => assert.ok(error instanceof RangeError));
				assert.equal(await nameBy(tx, 600), 'a');
			});
			assert.equal(await name(second, 600), 'a');
			await assert.rejects(first.em.fork().transactional(async (tx) => {
				await tx.findOne('Item', { id: 600 }, { lockMode: LockMode.PESSIMISTIC_WRITE });
				await tx.nativeDelete('Item', { id: 600 });
				throw new RangeError();
			}, { isolationLevel: 'serializable' }), RangeError);
			assert.equal(await name(second, 600), 'a');
			const ems = [first.em.fork(), second.em.fork()];
			const parts = await Promise.all(ems.map((em) => em.findOneOrFail('Part', { data: { k: 'é' } })));
			for (const [i, part] of parts.entries()) part.data = { k: i };
			await ems[0].flush();
			await assert.rejects(ems[1].flush(), { name: 'OptimisticLockError' });
			assert.deepEqual((await second.em.fork().findOneOrFail('Part', parts[0].id)).data, { k: 0 });
		},
		async prepared() {
			for (let turn = 1; turn < 9; turn++)
				for (const orm of conns) assert.equal(await name(orm, turn), `item ${turn}`);
		},
		async errors() {
			for (const orm of conns) {
				for (const [state, text] of Object.entries(wrong)) await fails(state, orm.em.getConnection().execute(text));
				const em = orm.em.fork();
				await em.begin();
				await fails('22012', em.getConnection().execute('SELECT 1/0', [], 'all', em.getTransactionContext()));
				await fails('25P02', em.getConnection().execute('SELECT 1', [], 'all', em.getTransactionContext()));
				await em.rollback();
				await assert.rejects(orm.em.fork().insert('Item', { id: 1, name: 'twice' }), { name: 'UniqueConstraintViolationException' });
				assert.equal(await name(orm, 1), 'item 1');
			}
		},
		async timeout() {
			const execute = (orm, text) => orm.em.getConnection().execute(text);
			await execute(conns[0], 'SET statement_timeout = 100');
			await fails('57014', execute(conns[0], 'SELECT pg_sleep(30)'));
			assert.equal(await one(conns[1], 'SHOW statement_timeout'), '0');
			await execute(conns[0], 'RESET statement_timeout');
		},
		...below(async (i) => {
			const connection = conns[i].em.getConnection();
			if (connection.getKnex) { // 6
				const { client: knex } = connection.getKnex(), client = await knex.acquireConnection();
				return [client, () => knex.releaseConnection(client)];
			}
			const client = await (await connection.getNativeClient()).connect();
			return [client, () => client.release()];
		}),
	};

	await main(
		steps,
		(conn, row) => name(conns[conn], row),
		async (conn, row, text) => {
			const em = conns[conn].em.fork();
			(await em.findOneOrFail('Item', { id: row })).name = text;
			await em.flush();
		},
		() => Promise.all(conns.map((orm) => orm.close(true))),
	);
}
