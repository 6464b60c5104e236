/* page.h - the live page, embedded at build time.
 * Source  page.html; embed.py writes the bytes, and the policy that lets exactly its own style and script run.
 * Shape   bytes; page_policy is the value of Content-Security-Policy.
 * Owner   static.
 * Thread  constant; any.
 * Errors  none. */
#ifndef PROXY_ADMIN_PAGE_H
#define PROXY_ADMIN_PAGE_H

#include <stddef.h>

extern const unsigned char page_html[];
extern const size_t page_html_n;
extern const char page_policy[];

#endif
