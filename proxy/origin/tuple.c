#include "proxy/origin/tuple.h"

#include "protocol/pgoutput.h"

static enum decoding_value state_of(enum pgoutput_state state)
{
	switch (state) {
	case PGOUTPUT_NULL: return DECODING_NULL;
	case PGOUTPUT_TEXT: return DECODING_TEXT;
	case PGOUTPUT_UNCHANGED:
	case PGOUTPUT_BINARY: break; /* binary was not asked for */
	}
	return DECODING_UNCHANGED;
}

static int pgoutput_next(const struct tuple *t, struct tuple_at *at, struct decoding_column *column_r,
			 const char **why_r)
{
	struct pgoutput_column column;
	struct pgoutput_value value;
	int found, named;

	do {
		found = pgoutput_value_next(t->bytes, &at->value, &value);
		named = pgoutput_column_next(t->columns, &at->column, &column);
		if (found < 0 || named < 0 || found != named) {
			*why_r = "a row does not fit its relation";
			return -1;
		}
	} while (found == 1 && t->key_only && !column.key);
	if (found == 1)
		*column_r = (struct decoding_column){
			.name = column.name, .state = state_of(value.state), .value = value.value};
	return found;
}

int tuple_next(const struct tuple *t, struct tuple_at *at, struct decoding_column *column_r,
	       const char **why_r)
{
	if (t->decoding != NULL)
		return decoding_column_next(t->decoding, t->bytes, &at->value, column_r, why_r);
	return pgoutput_next(t, at, column_r, why_r);
}
