#include <stdlib.h>
#include "tests/support/report.h"
#include "tests/support/test.h"

void test_failed(const char *line)
{
	cr_expect(false, "%s", line);
}

void test_abort(void)
{
	cr_assert_fail("the test cannot go on");
	abort();
}
