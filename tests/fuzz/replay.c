/* Runs a fuzz target over the files of a corpus, without a fuzzer: each input as it is, each of its
 * beginnings, and each byte changed in a few ways. Usage: <target> DIR.. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>

#define INPUT_MAX (1 << 20)
#define MUTATED_MAX 2048 /* longer inputs are only run whole and cut */

static unsigned long runs;

/* On the heap and of the exact size, for the sanitizers. */
static void run(const uint8_t *p, size_t n)
{
	uint8_t *copy = calloc(n == 0 ? 1 : n, 1);

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	runs++;
}

static void run_variants(uint8_t *p, size_t n)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\'', '"', ',', '{'};

	run(p, n);
	for (size_t cut = 0; cut<n; cut += n> MUTATED_MAX ? n / MUTATED_MAX : 1)
		run(p, cut);
	for (size_t i = 0; i < n && n <= MUTATED_MAX; i++) {
		uint8_t was = p[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			p[i] = values[v];
			run(p, n);
		}
		p[i] = was ^ 0x20;
		run(p, n);
		p[i] = was;
	}
}

static void run_file(const char *path, uint8_t *room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(2);
	}
	n = fread(room, 1, INPUT_MAX, f);
	fclose(f);
	run_variants(room, n);
}

static unsigned run_directory(const char *path, uint8_t *room)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned files = 0;

	if (dir == NULL) {
		perror(path);
		exit(2);
	}
	while ((entry = readdir(dir)) != NULL) {
		char name[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		run_file(name, room);
		files++;
	}
	closedir(dir);
	return files;
}

int main(int argc, char **argv)
{
	uint8_t *room = calloc(1, INPUT_MAX);
	unsigned files = 0;

	FUZZ_CHECK(room != NULL);
	run(room, 0);
	for (int i = 1; i < argc; i++)
		files += run_directory(argv[i], room);
	free(room);
	printf("%u files, %lu runs\n", files, runs);
	return files > 0 ? 0 : 2; /* an empty corpus proves nothing */
}
