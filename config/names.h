/* names.h - "@file" in a list of an HBA file stands for the names in that file.
 * Source  PostgreSQL manual, "The pg_hba.conf File"; PgBouncer's auth_hba_file.
 * Shape   names with blanks, commas or line ends between them, comments, and further @files; a path that is not absolute
 *         begins where the file lies that names it.
 * Owner   the pool.
 * Thread  any.
 * Errors  -1 and the reason, which has file:line of a file that was read. */
#ifndef CONFIG_NAMES_H
#define CONFIG_NAMES_H

#include "config/fields.h"

/* `from`: the path of the file that the list is in. */
int names_expand(struct text_pool *pool, const char *from, struct fields_field *list, struct err *err);

#endif
