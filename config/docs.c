/* docs/options.md, written from options.def. */
#include "config/config.h"

#include <string.h>

static void print_values(FILE *f, const struct config_option *o)
{
	static const char *const kinds[] = {
		[CONFIG_STRING] = "text", [CONFIG_SECRET] = "text (hidden)",
		[CONFIG_INT] = "number",  [CONFIG_MODE] = "octal",
		[CONFIG_SIZE] = "size",	  [CONFIG_DURATION] = "duration",
		[CONFIG_BOOL] = "0, 1",
	};

	if (o->kind != CONFIG_ENUM) {
		fputs(intro, f);
#define GROUP(title) print_group(f, title);
#define OPT(type, name, def, min, max, scope, life, help) print_row(f, OPTION_##name);
#include "config/options.def"
	}
