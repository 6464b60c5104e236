/* Writes docs/options.md: options_md FILE. */
#include "config/config.h"

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "w") : NULL;

	if (f == NULL) {
		fprintf(stderr, "usage: options_md FILE\n");
		return 1;
	}
	options_print(f);
	return fclose(f) == 0 ? 0 : 1;
}
