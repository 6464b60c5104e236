import { Entity, PrimaryKey, Property } from '@mikro-orm/core';

@Entity({ tableName: 'book' })
export class Book {
	@PrimaryKey({ type: 'integer' })
	id: number;

	@Property({ type: 'text' })
	title: string;

	@Property({ type: 'integer' })
	version: number;

	@Property({ type: 'datetime', columnType: 'timestamptz', onUpdate: () => new Date(), defaultRaw: 'now()' })
	changed: Date;
}
