/* Writes the manual of the options: options_md FILE, where FILE ends in .md, or in .5 for the man page. */
#include "config/config.h"

#include <string.h>

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "w") : NULL;
	const char *dot = f != NULL ? strrchr(argv[1], '.') : NULL;

	if (f == NULL) {
		fprintf(stderr, "usage: options_md FILE\n");
		return 1;
	}
	if (dot != NULL && strcmp(dot, ".5") == 0)
		options_man(f);
	else
		options_print(f);
	return fclose(f) == 0 ? 0 : 1;
}
