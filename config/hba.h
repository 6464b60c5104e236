/* hba.h - who may connect from where, and how they prove it.
 * Source  PostgreSQL manual, "The pg_hba.conf File"; the part of it that PgBouncer's auth_hba_file knows.
 * Shape   rules in the order of the file; the first one that matches decides; none = refuse.
 * Owner   whoever loaded it, hba_free; immutable.
 * Thread  any after it was made.
 * Errors  -1 and "file:line: reason". */
#ifndef CONFIG_HBA_H
#define CONFIG_HBA_H

#include "proxy/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;
struct hba;

enum hba_method {
	HBA_TRUST,
	HBA_REJECT,
	HBA_PASSWORD, /* in clear */
	HBA_MD5,      /* md5, or SCRAM when the secret is a SCRAM one */
	HBA_SCRAM,
	HBA_CERT,
	HBA_PEER
};

/* clientcert=, beside any method on a TLS connection. */
enum hba_clientcert { HBA_CERT_NONE, HBA_CERT_VERIFY_CA, HBA_CERT_VERIFY_FULL };

/* A rule that matched. */
struct hba_rule {
	enum hba_method method;
	enum hba_clientcert clientcert;
	const char *map; /* "" = none; a map of ident.h */
	int line;
};

struct hba_facts {
	const struct sockaddr *addr; /* NULL or AF_UNIX = local */
	bool tls;
	bool replication; /* a physical replication connection: matches only "replication" */
	const char *database;
	const char *user;
};

int hba_load(const char *path, struct hba **hba_r, struct err *err);
/* From memory; name stands for the file in messages. Opens no file. */
int hba_parse(const char *text, size_t n, const char *name, struct hba **hba_r, struct err *err);
void hba_free(struct hba **hba); /* NULL in it is allowed */

/* The first rule that matches, or NULL. Borrowed from hba. */
const struct hba_rule *hba_match(const struct hba *hba, const struct hba_facts *facts);
unsigned hba_rule_count(const struct hba *hba);
const char *hba_method_name(enum hba_method method);

#endif
