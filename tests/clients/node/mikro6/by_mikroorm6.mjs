// In a folder of its own, because it is the other version of the same packages.
import * as mikroorm from '@mikro-orm/postgresql';
import { run } from '../mikroorm.mjs';

await run(mikroorm);
