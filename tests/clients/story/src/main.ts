import 'reflect-metadata';
import { MikroOrmModule } from '@mikro-orm/nestjs';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BookController } from './book.controller';
import { Book } from './book.entity';

@Module({
	imports: [
		MikroOrmModule.forRoot({
			driver: PostgreSqlDriver,
			clientUrl: process.env.DATABASE_URL,
			entities: [Book],
			pool: { min: 2, max: 10 },
		}),
		MikroOrmModule.forFeature([Book]),
	],
	controllers: [BookController],
})
class AppModule {}

async function main(): Promise<void> {
	const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
	app.enableShutdownHooks();
	await app.listen(Number(process.env.PORT), '127.0.0.1');
}

void main();
