#include "tests/unit/config/scratch.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void scratch_make(struct scratch *s)
{
	*s = (struct scratch){.dir = "/tmp/pgweir-config-XXXXXX"};
	REQUIRE(mkdtemp(s->dir) != NULL);
}

const char *scratch_file(struct scratch *s, const char *name, const char *text)
{
	char path[128];
	unsigned i;
	FILE *f;

	REQUIRE(snprintf(path, sizeof path, "%s/%s", s->dir, name) < (int)sizeof path);
	for (i = 0; i < s->count && strcmp(s->path[i], path) != 0;)
		i++;
	REQUIRE(i < 16);
	strcpy(s->path[i], path);
	if (i == s->count)
		s->count++;
	f = fopen(path, "w");
	REQUIRE(f != NULL);
	REQUIRE(fputs(text, f) >= 0);
	REQUIRE(fclose(f) == 0);
	return s->path[i];
}

void scratch_drop(struct scratch *s)
{
	for (unsigned i = 0; i < s->count; i++)
		unlink(s->path[i]);
	rmdir(s->dir);
}

struct config *scratch_config(const char *text)
{
	struct config *cfg = NULL;
	struct err err = {0};

	if (config_parse(text, strlen(text), "t.ini", &cfg, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(cfg != NULL);
	return cfg;
}

const char *scratch_error(const char *text)
{
	static struct err err;
	struct config *cfg = NULL;

	err = (struct err){0};
	EXPECT_EQ(config_parse(text, strlen(text), "t.ini", &cfg, &err), -1);
	EXPECT(cfg == NULL);
	config_unref(cfg);
	return err.text;
}
