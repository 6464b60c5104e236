import { EntityManager } from '@mikro-orm/postgresql';
import { Body, Controller, Delete, Get, HttpCode, NotFoundException, Param, ParseIntPipe, Patch, Post, Query } from '@nestjs/common';
import { Book } from './book.entity';

@Controller('books')
export class BookController {
	constructor(private readonly em: EntityManager) {}

	@Get()
	some(@Query('ids') ids: string): Promise<Book[]> {
		return this.em.find(Book, { id: { $in: ids.split(',').map(Number) } }, { orderBy: { id: 'asc' } });
	}

	@Get(':id')
	async one(@Param('id', ParseIntPipe) id: number): Promise<Book> {
		const book = await this.em.findOne(Book, id);
		if (!book) throw new NotFoundException();
		return book;
	}

	// Two reads of one row in one transaction.
	@Get(':id/twice')
	twice(@Param('id', ParseIntPipe) id: number): Promise<(Book | null)[]> {
		return this.em.transactional(async (em) => [
			await em.findOne(Book, id),
			await em.findOne(Book, id, { refresh: true }),
		]);
	}

	@Post()
	async create(@Body() body: Partial<Book>): Promise<Book> {
		const book = this.em.create(Book, { changed: new Date(), ...body } as Book);
		await this.em.flush();
		return book;
	}

	@Patch(':id')
	async change(@Param('id', ParseIntPipe) id: number, @Body() body: Partial<Book>): Promise<Book> {
		const book = await this.em.findOne(Book, id);
		if (!book) throw new NotFoundException();
		this.em.assign(book, body);
		await this.em.flush();
		return book;
	}

	@Delete(':id')
	@HttpCode(204)
	async remove(@Param('id', ParseIntPipe) id: number): Promise<void> {
		await this.em.nativeDelete(Book, { id });
	}
}
