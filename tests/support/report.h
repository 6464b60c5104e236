/* report.h - what a runner offers to the expectations of test.h.
 * Source  none.
 * Shape   one finished line per failure.
 * Owner   the caller's text.
 * Thread  any.
 * Errors  none. */
#ifndef TESTS_SUPPORT_REPORT_H
#define TESTS_SUPPORT_REPORT_H

/* Marks the running test as failed and prints the line. */
void test_failed(const char *line);

#endif
