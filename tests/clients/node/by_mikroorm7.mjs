import * as mikroorm from '@mikro-orm/postgresql';
import { run } from './mikroorm.mjs';

await run(mikroorm);
