#include "proxy/sql/builtins.h"

struct named_class {
	const char *name;
	enum builtin_class class;
};

#define FUNCTION(name, class) {name, BUILTIN_##class},
#define OPERATOR(name, class)
#define TYPE(name, oid, element, array, input)
#define SYSTEM_RELATION(name)
static const struct named_class functions[] = {
#include "proxy/sql/builtins.def"
};
#undef FUNCTION
#undef OPERATOR
#define FUNCTION(name, class)
#define OPERATOR(name, class) {name, BUILTIN_##class},
static const struct named_class operators[] = {
#include "proxy/sql/builtins.def"
};
#undef OPERATOR
#undef TYPE
#define OPERATOR(name, class)
#define TYPE(name, oid, element, array, input) {name, oid, element, array, INPUT_##input},
static const struct builtin_type types[] = {
#include "proxy/sql/builtins.def"
};
#undef TYPE
#undef SYSTEM_RELATION
#define TYPE(name, oid, element, array, input)
#define SYSTEM_RELATION(name) {name, BUILTIN_NONE},
static const struct named_class relations[] = {
#include "proxy/sql/builtins.def"
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* strcmp's order, with a span on one side. */
static int name_order(struct span a, const char *b)
{
	size_t bn = strlen(b);
	int order = strncmp((const char *)a.p, b, a.n < bn ? a.n : bn);

	return order != 0 ? order : (a.n > bn) - (a.n < bn);
}

static const void *find(const void *table, size_t count, size_t size, struct span name)
{
	size_t lo = 0, hi = count;

	if (name.n == 0)
		return NULL;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const uint8_t *row = (const uint8_t *)table + mid * size;
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): each row begins with its name */
		int order = name_order(name, *(const char *const *)(const void *)row);

		if (order == 0)
			return row;
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

enum builtin_class builtin_function(struct span name)
{
	const struct named_class *row = find(functions, COUNT(functions), sizeof(functions[0]), name);

	return row == NULL ? BUILTIN_NONE : row->class;
}

enum builtin_class builtin_operator(struct span name)
{
	const struct named_class *row;

	if (name.n == 2 && memcmp(name.p, "!=", 2) == 0)
		name = span_str("<>");
	row = find(operators, COUNT(operators), sizeof(operators[0]), name);
	return row == NULL ? BUILTIN_NONE : row->class;
}

const struct builtin_type *builtin_type_name(struct span name)
{
	return find(types, COUNT(types), sizeof(types[0]), name);
}

/* A scan: about 190 rows, and only when a text is analysed for the first time. */
const struct builtin_type *builtin_type_oid(uint32_t oid)
{
	for (size_t i = 0; i < COUNT(types); i++)
		if (types[i].oid == oid)
			return &types[i];
	return NULL;
}

bool builtin_relation(struct span name)
{
	return find(relations, COUNT(relations), sizeof(relations[0]), name) != NULL;
}
