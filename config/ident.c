#include "config/ident.h"

#include "config/fields.h"
#include "config/text.h"
#include "proxy/base/check.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct line {
	struct line *next;
	const char *map;
	const char *system_name; /* NULL when there is a regex */
	regex_t regex;
	const char *user;
	bool all; /* user is the word all */
};

struct ident {
	struct text_pool *pool; /* owned; holds the lines too */
	struct line *lines;
	struct line **tail;
};

void ident_free(struct ident **ident)
{
	if (*ident == NULL)
		return;
	for (struct line *l = (*ident)->lines; l != NULL; l = l->next)
		if (l->system_name == NULL)
			regfree(&l->regex);
	text_pool_free(&(*ident)->pool);
	free(*ident);
	*ident = NULL;
}

static int add_line(void *arg, const struct fields *f, struct err *err)
{
	struct ident *ident = arg;
	struct line *l;
	const struct fields_item *item[3];
	char why[128];
	int rc;

	if (f->count != 3)
		return err_set(err, "expected three fields: map, system name, database user");
	for (unsigned i = 0; i < 3; i++) {
		if (f->fields[i].count != 1)
			return err_set(err, "lists are not supported");
		item[i] = &f->fields[i].items[0];
	}
	l = text_alloc(ident->pool, sizeof *l);
	l->map = item[0]->text;
	l->user = item[2]->text;
	l->all = !item[2]->quoted && strcmp(item[2]->text, "all") == 0;
	if (!item[2]->quoted && (*item[2]->text == '+' || *item[2]->text == '/'))
		return err_set(err, "database user \"%s\" is not supported", item[2]->text);
	if (*item[1]->text != '/') {
		l->system_name = item[1]->text;
	} else {
		rc = regcomp(&l->regex, item[1]->text + 1, REG_EXTENDED);
		if (rc != 0) {
			regerror(rc, &l->regex, why, sizeof why);
			return err_set(err, "regular expression \"%s\": %s", item[1]->text + 1, why);
		}
	}
	*ident->tail = l;
	ident->tail = &l->next;
	return 0;
}

int ident_parse(const char *text, size_t n, const char *name, struct ident **ident_r, struct err *err)
{
	struct ident *ident = check_alloc(sizeof *ident);

	ident->pool = text_pool_new();
	ident->tail = &ident->lines;
	if (fields_each(ident->pool, text, n, name, add_line, ident, err) != 0) {
		ident_free(&ident);
		return -1;
	}
	*ident_r = ident;
	return 0;
}

int ident_load(const char *path, struct ident **ident_r, struct err *err)
{
	struct text_pool *pool = text_pool_new();
	char *text;
	size_t n;
	int rc = -1;

	if (text_read(pool, path, &text, &n, err) == 0)
		rc = ident_parse(text, n, path, ident_r, err);
	text_pool_free(&pool);
	return rc;
}

/* Is user what the line's user becomes when \1 is replaced by the first group of the match? */
static bool equals_expanded(const char *pattern, const char *system_name, const regmatch_t *group,
			    const char *user)
{
	const char *mark = strstr(pattern, "\\1");
	size_t before, inside;

	if (mark == NULL)
		return strcmp(pattern, user) == 0;
	if (group->rm_so < 0)
		return false;
	before = (size_t)(mark - pattern);
	inside = (size_t)(group->rm_eo - group->rm_so);
	return strlen(user) == before + inside + strlen(mark + 2) && memcmp(user, pattern, before) == 0 &&
	       memcmp(user + before, system_name + group->rm_so, inside) == 0 &&
	       strcmp(user + before + inside, mark + 2) == 0;
}

bool ident_allows(const struct ident *ident, const char *map, const char *system_name, const char *user)
{
	if (map == NULL || *map == '\0')
		return strcmp(system_name, user) == 0;
	if (ident == NULL)
		return false;
	for (const struct line *l = ident->lines; l != NULL; l = l->next) {
		regmatch_t groups[2] = {{-1, -1}, {-1, -1}};

		if (strcmp(l->map, map) != 0)
			continue;
		if (l->system_name != NULL) {
			if (strcmp(l->system_name, system_name) == 0 &&
			    (l->all || strcmp(l->user, user) == 0))
				return true;
		} else if (regexec(&l->regex, system_name, 2, groups, 0) == 0 &&
			   (l->all || equals_expanded(l->user, system_name, &groups[1], user))) {
			return true;
		}
	}
	return false;
}
