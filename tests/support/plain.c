/* The plain runner: all tests of a program one after the other, in one process. Arguments are words that
 * a test's "suite/name" has to contain. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/support/report.h"
#include "tests/support/test.h"

static struct test_case *first, **last = &first;
static atomic_int failures; /* of the test that runs now */
static jmp_buf out;

void test_register(struct test_case *tc)
{
	*last = tc;
	last = &tc->next;
}

void test_failed(const char *line)
{
	atomic_fetch_add(&failures, 1);
	fprintf(stderr, "%s\n", line);
}

void test_abort(void)
{
	longjmp(out, 1);
}

static bool wanted(const struct test_case *tc, int argc, char **argv)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", tc->suite, tc->name);
	for (int i = 1; i < argc; i++) {
		if (strstr(full, argv[i]) != NULL)
			return true;
	}
	return argc < 2;
}

static bool run(const struct test_case *tc)
{
	atomic_store(&failures, 0);
	if (setjmp(out) == 0)
		tc->run();
	if (atomic_load(&failures) == 0)
		return true;
	fprintf(stderr, "FAILED %s/%s\n", tc->suite, tc->name);
	return false;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct test_case *tc = first; tc != NULL; tc = tc->next) {
		if (!wanted(tc, argc, argv))
			continue;
		if (run(tc))
			passed++;
		else
			failed++;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
