#include "config/hba.h"

#include "config/fields.h"
#include "config/names.h"
#include "config/text.h"
#include "proxy/base/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum hba_type { TYPE_LOCAL, TYPE_HOST, TYPE_HOSTSSL, TYPE_HOSTNOSSL };

/* Where a rule's clients come from; IPv4 is kept as the first four bytes. */
struct network {
	int family; /* AF_UNSPEC = all */
	unsigned char addr[16];
	unsigned char mask[16];
};

struct rule {
	struct hba_rule out;
	enum hba_type type;
	struct fields_field databases;
	struct fields_field users;
	struct network net;
};

struct hba {
	struct text_pool *pool; /* owned; holds the rules too */
	const char *path; /* while a file is read: lists in it may name others; NULL = no file is opened */
	struct rule *rules;
	unsigned count;
	unsigned room;
};

static const char *const type_names[] = {"local", "host", "hostssl", "hostnossl", NULL};
static const char *const method_names[] = {"trust",	    "reject", "password", "md5",
					   "scram-sha-256", "cert",   "peer",	  NULL};
static const char *const option_names[] = {"map", "clientcert", NULL};

const char *hba_method_name(enum hba_method method)
{
	return method_names[method];
}

void hba_free(struct hba **hba)
{
	if (*hba == NULL)
		return;
	text_pool_free(&(*hba)->pool);
	free(*hba);
	*hba = NULL;
}

unsigned hba_rule_count(const struct hba *hba)
{
	return hba->count;
}

/* A field that must be one word, or NULL. */
static const char *word(const struct fields *f, unsigned i)
{
	return i < f->count && f->fields[i].count == 1 ? f->fields[i].items[0].text : NULL;
}

static int find_word(const char *const *words, const char *s)
{
	for (int i = 0; s != NULL && words[i] != NULL; i++)
		if (strcmp(words[i], s) == 0)
			return i;
	return -1;
}

static int fail_word(struct err *err, const char *what, const char *s, const char *const *words)
{
	const char *nearest = s != NULL ? text_nearest(s, words) : NULL;

	if (s == NULL)
		return err_set(err, "the %s is missing", what);
	if (nearest == NULL)
		return err_set(err, "%s \"%s\" is not supported", what, s);
	return err_set(err, "%s \"%s\" is not supported, did you mean \"%s\"?", what, s, nearest);
}

static int check_list(const struct fields_field *field, bool users, struct err *err)
{
	for (unsigned i = 0; i < field->count; i++) {
		const struct fields_item *item = &field->items[i];

		if (item->quoted)
			continue;
		if (item->text[0] == '@' && item->text[1] != '\0')
			return err_set(err, "a list in a file (%s) needs a file to look from", item->text);
		if (*item->text == '/')
			return err_set(err, "regular expressions (%s) are not supported", item->text);
		if (users && *item->text == '+')
			return err_set(err, "membership in roles (%s) is not supported", item->text);
		if (!users && (strcmp(item->text, "samerole") == 0 || strcmp(item->text, "samegroup") == 0))
			return err_set(err, "%s is not supported", item->text);
	}
	return 0;
}

static size_t addr_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

static void mask_of_bits(unsigned char *mask, unsigned bits)
{
	memset(mask, 0, 16);
	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (unsigned char)(0x80 >> i % 8);
}

static bool contiguous(const unsigned char *mask, size_t n)
{
	unsigned char made[16];

	for (unsigned bits = 0; bits <= n * 8; bits++) {
		mask_of_bits(made, bits);
		if (memcmp(made, mask, n) == 0)
			return true;
	}
	return false;
}

static int parse_bits(const char *s, unsigned max, unsigned *bits_r)
{
	unsigned long bits;
	char *end;

	if (*s < '0' || *s > '9')
		return -1;
	bits = strtoul(s, &end, 10);
	if (*end != '\0' || bits > max)
		return -1;
	*bits_r = (unsigned)bits;
	return 0;
}

/* Field 3 is all, address/bits, or an address with the mask in field 4. *used_r fields are taken. */
static int parse_network(const struct fields *f, struct network *net, unsigned *used_r, struct err *err)
{
	const char *s = word(f, 3), *slash, *mask;
	char text[INET6_ADDRSTRLEN];
	size_t n;
	unsigned bits;

	if (s == NULL)
		return err_set(err, "the address is missing");
	*used_r = 1;
	if (strcmp(s, "all") == 0 && !f->fields[3].items[0].quoted)
		return 0;
	slash = strchr(s, '/');
	n = slash != NULL ? (size_t)(slash - s) : strlen(s);
	if (n < sizeof text) {
		memcpy(text, s, n);
		text[n] = '\0';
		net->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	}
	if (n >= sizeof text || inet_pton(net->family, text, net->addr) != 1)
		return err_set(err, "address \"%s\" is not supported (IPv4, IPv6 or all; no names)", s);
	n = addr_bytes(net->family);
	if (slash != NULL) {
		if (parse_bits(slash + 1, (unsigned)n * 8, &bits) != 0)
			return err_set(err, "the prefix length of \"%s\" must be 0 to %zu", s, n * 8);
		mask_of_bits(net->mask, bits);
	} else {
		mask = word(f, 4);
		*used_r = 2;
		if (mask == NULL || inet_pton(net->family, mask, net->mask) != 1)
			return err_set(err, "address \"%s\" needs a prefix length or a mask", s);
		if (!contiguous(net->mask, n))
			return err_set(err, "mask \"%s\" has holes", mask);
	}
	for (size_t i = 0; i < n; i++)
		net->addr[i] &=
			net->mask[i]; /* as PostgreSQL: "10.0.0.7/8" is the network that 10.0.0.7 is in */
	return 0;
}

static int parse_option(struct hba *hba, struct rule *rule, const char *s, struct err *err)
{
	const char *equals = s != NULL ? strchr(s, '=') : NULL;
	char *name;

	if (equals == NULL)
		return err_set(err, "expected an option name=value%s%s", s ? ", not " : "", s ? s : "");
	name = text_dup(hba->pool, s, (size_t)(equals - s));
	switch (find_word(option_names, name)) {
	case 0: rule->out.map = equals + 1; return 0;
	case 1:
		if (rule->type != TYPE_HOSTSSL)
			return err_set(err, "clientcert is for hostssl lines only");
		if (strcmp(equals + 1, "verify-ca") == 0)
			rule->out.clientcert = HBA_CERT_VERIFY_CA;
		else if (strcmp(equals + 1, "verify-full") == 0)
			rule->out.clientcert = HBA_CERT_VERIFY_FULL;
		else
			return err_set(err, "clientcert must be verify-ca or verify-full, not \"%s\"",
				       equals + 1);
		return 0;
	default: return fail_word(err, "option", name, option_names);
	}
}

static int parse_rule(struct hba *hba, const struct fields *f, struct rule *rule, struct err *err)
{
	const char *type = word(f, 0), *method;
	unsigned at = 3, used = 0;
	int i = find_word(type_names, type);

	/* There is no GSS encryption here, so a line that rules it out is an ordinary host line. */
	if (i < 0 && type != NULL && strcmp(type, "hostnogssenc") == 0)
		i = TYPE_HOST;
	if (i < 0)
		return fail_word(err, "connection type", type, type_names);
	rule->type = (enum hba_type)i;
	rule->out = (struct hba_rule){.map = "", .line = f->line};
	if (f->count < 3)
		return err_set(err, "the line ends before the %s", f->count == 1 ? "database" : "user");
	rule->databases = f->fields[1];
	rule->users = f->fields[2];
	if (hba->path != NULL && (names_expand(hba->pool, hba->path, &rule->databases, err) != 0 ||
				  names_expand(hba->pool, hba->path, &rule->users, err) != 0))
		return -1;
	if (check_list(&rule->databases, false, err) != 0 || check_list(&rule->users, true, err) != 0)
		return -1;
	if (rule->type != TYPE_LOCAL) {
		if (parse_network(f, &rule->net, &used, err) != 0)
			return -1;
		at += used;
	}
	method = word(f, at);
	i = find_word(method_names, method);
	if (i < 0)
		return fail_word(err, "method", method, method_names);
	rule->out.method = (enum hba_method)i;
	if (rule->out.method == HBA_PEER && rule->type != TYPE_LOCAL)
		return err_set(err, "peer is for local lines only");
	if (rule->out.method == HBA_CERT && rule->type != TYPE_HOSTSSL)
		return err_set(err, "cert is for hostssl lines only");
	while (++at < f->count)
		if (parse_option(hba, rule, word(f, at), err) != 0)
			return -1;
	if (rule->out.method == HBA_CERT)
		rule->out.clientcert = HBA_CERT_VERIFY_FULL;
	return 0;
}

static struct rule *new_rule(struct hba *hba)
{
	if (hba->count == hba->room) {
		unsigned room = hba->room ? hba->room * 2 : 16;
		struct rule *more = text_alloc(hba->pool, room * sizeof *more);

		if (hba->count > 0)
			memcpy(more, hba->rules, hba->count * sizeof *more);
		hba->rules = more;
		hba->room = room;
	}
	return &hba->rules[hba->count++];
}

static int add_rule(void *hba, const struct fields *f, struct err *err)
{
	return parse_rule(hba, f, new_rule(hba), err);
}

static int parse(const char *text, size_t n, const char *name, const char *path, struct hba **hba_r,
		 struct err *err)
{
	struct hba *hba = check_alloc(sizeof *hba);

	hba->pool = text_pool_new();
	hba->path = path;
	if (fields_each(hba->pool, text, n, name, add_rule, hba, err) != 0) {
		hba_free(&hba);
		return -1;
	}
	hba->path = NULL;
	*hba_r = hba;
	return 0;
}

int hba_parse(const char *text, size_t n, const char *name, struct hba **hba_r, struct err *err)
{
	return parse(text, n, name, NULL, hba_r, err);
}

int hba_load(const char *path, struct hba **hba_r, struct err *err)
{
	struct text_pool *pool = text_pool_new();
	char *text;
	size_t n;
	int rc = -1;

	if (text_read(pool, path, &text, &n, err) == 0)
		rc = parse(text, n, path, path, hba_r, err);
	text_pool_free(&pool);
	return rc;
}

static bool match_database(const struct fields_field *field, const struct hba_facts *facts)
{
	for (unsigned i = 0; i < field->count; i++) {
		const struct fields_item *item = &field->items[i];
		bool special = !item->quoted;

		if (facts->replication) {
			/* As in PostgreSQL: physical replication has no database, not even "all" of them. */
			if (special && strcmp(item->text, "replication") == 0)
				return true;
		} else if (special && strcmp(item->text, "all") == 0) {
			return true;
		} else if (special && strcmp(item->text, "sameuser") == 0) {
			if (strcmp(facts->database, facts->user) == 0)
				return true;
		} else if (special && strcmp(item->text, "replication") == 0) {
			continue;
		} else if (strcmp(item->text, facts->database) == 0) {
			return true;
		}
	}
	return false;
}

static bool match_user(const struct fields_field *field, const char *user)
{
	for (unsigned i = 0; i < field->count; i++)
		if ((!field->items[i].quoted && strcmp(field->items[i].text, "all") == 0) ||
		    strcmp(field->items[i].text, user) == 0)
			return true;
	return false;
}

/* The family and bytes of an address; IPv4 within IPv6 counts as IPv4, for our listeners take both. */
static int address(const struct sockaddr *sa, const unsigned char **bytes_r)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

	if (sa->sa_family == AF_INET) {
		*bytes_r = (const unsigned char *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
		return AF_INET;
	}
	*bytes_r = v6->s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(v6)) {
		*bytes_r += 12;
		return AF_INET;
	}
	return AF_INET6;
}

static bool match_network(const struct network *net, const struct sockaddr *sa)
{
	const unsigned char *bytes;

	if (net->family == AF_UNSPEC)
		return true;
	if (address(sa, &bytes) != net->family)
		return false;
	for (size_t i = 0; i < addr_bytes(net->family); i++)
		if ((bytes[i] & net->mask[i]) != net->addr[i])
			return false;
	return true;
}

static bool match_origin(const struct rule *rule, const struct hba_facts *facts)
{
	bool local = facts->addr == NULL || facts->addr->sa_family == AF_UNIX;

	switch (rule->type) {
	case TYPE_LOCAL: return local;
	case TYPE_HOST: break;
	case TYPE_HOSTSSL:
		if (!facts->tls)
			return false;
		break;
	case TYPE_HOSTNOSSL:
		if (facts->tls)
			return false;
		break;
	}
	return !local && match_network(&rule->net, facts->addr);
}

const struct hba_rule *hba_match(const struct hba *hba, const struct hba_facts *facts)
{
	for (unsigned i = 0; i < hba->count; i++) {
		const struct rule *rule = &hba->rules[i];

		if (match_origin(rule, facts) && match_database(&rule->databases, facts) &&
		    match_user(&rule->users, facts->user))
			return &rule->out;
	}
	return NULL;
}
