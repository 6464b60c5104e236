/* users.h - userlist.txt: names and secrets.
 * Source  PgBouncer's auth_file: lines "user" "secret", a doubled quote stands for one; the rest of a line
 *         is ignored; lines that start with ; or # are comments.
 * Shape   hashed by name; of two lines with one name the last counts.
 * Owner   counted, immutable. A secret is wiped before its memory goes back.
 * Thread  any after it was made.
 * Errors  -1 and "file:line: reason". A secret is never part of a message. */
#ifndef CONFIG_USERS_H
#define CONFIG_USERS_H

#include "proxy/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct users;

enum users_kind {
	USERS_PLAIN,
	USERS_MD5,  /* md5 and 32 hex digits */
	USERS_SCRAM /* SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
};

struct users_entry {
	const char *name;
	const char *secret; /* "" = this user cannot log in with a password */
	enum users_kind kind;
};

int users_load(const char *path, struct users **users_r, struct err *err);
/* From memory; file stands for the file in messages. Opens no file. */
int users_parse(const char *text, size_t n, const char *file, struct users **users_r, struct err *err);
/* One user only; what a URL start needs. */
struct users *users_single(const char *name, const char *secret);
struct users *users_ref(struct users *users);
void users_unref(struct users *users); /* NULL is allowed */

/* Borrowed from users, or NULL. users may be NULL. */
const struct users_entry *users_find(const struct users *users, const char *name);
size_t users_count(const struct users *users);
/* In the order of the file; i < users_count(). For SHOW USERS. */
const struct users_entry *users_at(const struct users *users, size_t i);
/* What kind of secret a text is; also for the answers of auth_query. */
enum users_kind users_kind_of(const char *secret);

#endif
