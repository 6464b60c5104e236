#include "config/units.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},	   {"B", 1},	       {"k", 1 << 10}, {"kB", 1 << 10},
	{"M", 1 << 20},	   {"MB", 1 << 20},    {"G", 1 << 30}, {"GB", 1 << 30},
	{"T", 1ULL << 40}, {"TB", 1ULL << 40}, {NULL, 0},
};

/* "m" is left out: it could be minutes or milliseconds. */
static const struct unit duration_units[] = {
	{"", 1000000},	       {"us", 1},	  {"ms", 1000},
	{"s", 1000000},	       {"min", 60000000}, {"h", 3600000000ULL},
	{"d", 86400000000ULL}, {NULL, 0},
};

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static int integer(const char *text, unsigned base, int64_t *value_r, const char **why_r)
{
	const char *s = skip_space(text);
	bool minus = *s == '-';
	int64_t v = 0;

	if (*s == '-' || *s == '+')
		s++;
	if (!isdigit((unsigned char)*s)) {
		*why_r = "must be a whole number";
		return -1;
	}
	for (; isdigit((unsigned char)*s); s++) {
		if ((unsigned)(*s - '0') >= base) {
			*why_r = "must be an octal number such as 0770";
			return -1;
		}
		if (__builtin_mul_overflow(v, (int64_t)base, &v) ||
		    __builtin_add_overflow(v, (int64_t)(*s - '0'), &v)) {
			*why_r = "is too large";
			return -1;
		}
	}
	if (*skip_space(s) != '\0') {
		*why_r = "must be a whole number";
		return -1;
	}
	*value_r = minus ? -v : v;
	return 0;
}

int units_int(const char *text, int64_t *value_r, const char **why_r)
{
	return integer(text, 10, value_r, why_r);
}

int units_mode(const char *text, int64_t *value_r, const char **why_r)
{
	return integer(text, 8, value_r, why_r);
}

static const struct unit *find_unit(const struct unit *units, const char *s)
{
	size_t n = strlen(s);

	while (n > 0 && isspace((unsigned char)s[n - 1]))
		n--;
	for (; units->name != NULL; units++)
		if (strlen(units->name) == n && strncasecmp(units->name, s, n) == 0)
			return units;
	return NULL;
}

/* number[.fraction] unit -> number * factor. The arithmetic is exact: a double would turn 2^53 + 1 into
 * something else. Of a fraction the first six digits count. */
static int scaled(const char *text, const struct unit *units, uint64_t *value_r, const char **why_r,
		  const char *bad_unit)
{
	const char *s = skip_space(text);
	const struct unit *unit;
	uint64_t v = 0, part = 0, whole = 1;

	*why_r = "must be a number, with a unit if you like";
	if (!isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			goto large;
	if (*s == '.' && !isdigit((unsigned char)*++s))
		return -1;
	for (; isdigit((unsigned char)*s); s++) {
		if (whole < 1000000) {
			part = part * 10 + (uint64_t)(*s - '0');
			whole *= 10;
		}
	}
	unit = find_unit(units, skip_space(s));
	if (unit == NULL) {
		*why_r = bad_unit;
		return -1;
	}
	if (__builtin_mul_overflow(v, unit->factor, &v) ||
	    __builtin_add_overflow(v, part * unit->factor / whole, &v))
		goto large;
	*value_r = v;
	return 0;
large:
	*why_r = "is too large";
	return -1;
}

int units_size(const char *text, uint64_t *bytes_r, const char **why_r)
{
	return scaled(text, size_units, bytes_r, why_r,
		      "must have one of the units B, kB, MB, GB, TB or none");
}

int units_duration(const char *text, uint64_t *us_r, const char **why_r)
{
	return scaled(text, duration_units, us_r, why_r,
		      "must have one of the units us, ms, s, min, h, d or none for seconds");
}

int units_bool(const char *text, bool *value_r, const char **why_r)
{
	static const char *const words[] = {"0",  "1",	 "off", "on", "false", "true",
					    "no", "yes", "f",	"t",  "n",     "y"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*value_r = i & 1;
			return 0;
		}
	}
	*why_r = "must be 1 or 0 (or on, off, true, false, yes, no)";
	return -1;
}

void units_duration_text(uint64_t us, char *out, size_t n)
{
	char digits[32];
	size_t len;

	if (us % 1000000 == 0) {
		snprintf(out, n, "%llu", (unsigned long long)(us / 1000000));
		return;
	}
	snprintf(digits, sizeof digits, "%llu.%06llu", (unsigned long long)(us / 1000000),
		 (unsigned long long)(us % 1000000));
	for (len = strlen(digits); digits[len - 1] == '0'; len--)
		digits[len - 1] = '\0';
	snprintf(out, n, "%s", digits);
}
