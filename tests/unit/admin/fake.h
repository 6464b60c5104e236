/* fake.h - a source of made-up numbers.
 * Source  none.
 * Shape   every part filled; names that need quoting.
 * Owner   static.
 * Thread  one test at a time.
 * Errors  none. */
#ifndef TESTS_UNIT_ADMIN_FAKE_H
#define TESTS_UNIT_ADMIN_FAKE_H

#include "proxy/admin/report.h"

struct fake {
	bool not_ready;
	unsigned many_pools; /* this many pools of different names */
};

struct report_source fake_source(struct fake *fake);

#endif
