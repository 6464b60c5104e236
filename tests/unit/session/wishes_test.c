#include "proxy/session/wishes.h"

#include "tests/support/test.h"

static const struct policy policy = {.coherence = COHERENCE_STRICT, .max_staleness = 100000};

static const char *set(struct wishes *w, enum setting_action action, const char *value, bool txn)
{
	return wishes_change(w, action, "pgweir.coherence", value, txn);
}

static const char *shown(const struct wishes *w)
{
	static char text[64];

	wishes_text(WISH_COHERENCE, &w->now, text, sizeof text);
	return text;
}

/* Sent and answered. */
static void says(struct wishes *w, const char *tag, const char *name)
{
	const struct stmt_facts f = {.command = COMMAND_TXN, .tag = tag, .name = name};

	wishes_note(w, &f);
	wishes_answered(w, span_str(tag));
}

TEST(wishes, hold_at_once_outside_of_transactions)
{
	struct wishes w;

	wishes_init(&w, &policy);
	EXPECT(set(&w, SETTING_SET, "OFF", false) == NULL);
	EXPECT_STR(shown(&w), "off");
	wishes_end(&w, false);
	EXPECT_STR(shown(&w), "off");
	EXPECT(set(&w, SETTING_SET_LOCAL, "bounded", false) == NULL);
	EXPECT_STR(shown(&w), "off");
	EXPECT_STR(set(&w, SETTING_SET, "often", false), "22023");
	EXPECT_STR(shown(&w), "off");
	EXPECT(set(&w, SETTING_RESET, NULL, false) == NULL);
	EXPECT_STR(shown(&w), "strict");
	EXPECT_STR(wishes_change(&w, SETTING_SET, "pgweir.other", "1", false), "42704");
	EXPECT(wishes_name("PGWEIR.x") && !wishes_name("pgweir") && !wishes_name("app.x"));
	wishes_free(&w);
}

TEST(wishes, a_new_configuration_leaves_what_the_client_has_set)
{
	const struct policy other = {.coherence = COHERENCE_BOUNDED, .max_staleness = 500000};
	struct wishes w;

	wishes_init(&w, &policy);
	EXPECT(set(&w, SETTING_SET, "strict", false) == NULL);
	wishes_renew(&w, &other);
	EXPECT_STR(shown(&w), "strict");
	EXPECT_EQ(w.now.max_staleness, 500000);
	EXPECT(set(&w, SETTING_RESET, NULL, false) == NULL);
	EXPECT_STR(shown(&w), "bounded");
	EXPECT(set(&w, SETTING_SET, "off", true) == NULL);
	says(&w, "ROLLBACK", NULL);
	wishes_renew(&w, &policy);
	EXPECT_STR(shown(&w), "strict");
	wishes_free(&w);
}

TEST(wishes, go_with_their_transaction)
{
	struct wishes w;

	wishes_init(&w, &policy);
	EXPECT(set(&w, SETTING_SET, "off", true) == NULL);
	says(&w, "ROLLBACK", NULL);
	EXPECT_STR(shown(&w), "strict");
	EXPECT(set(&w, SETTING_SET, "off", true) == NULL);
	EXPECT(set(&w, SETTING_SET_LOCAL, "bounded", true) == NULL);
	EXPECT_STR(shown(&w), "bounded");
	says(&w, "COMMIT", NULL);
	EXPECT_STR(shown(&w), "off");
	wishes_reset(&w, true);
	EXPECT_STR(shown(&w), "strict");
	says(&w, "ROLLBACK", NULL);
	EXPECT_STR(shown(&w), "off");
	wishes_free(&w);
}

TEST(wishes, go_back_to_savepoints)
{
	struct wishes w;

	wishes_init(&w, &policy);
	says(&w, "SAVEPOINT", "a");
	EXPECT(set(&w, SETTING_SET, "off", true) == NULL);
	says(&w, "SAVEPOINT", "a");
	EXPECT(set(&w, SETTING_SET, "bounded", true) == NULL);
	says(&w, "SAVEPOINT", "b");
	says(&w, "ROLLBACK", "b");
	EXPECT_STR(shown(&w), "bounded");
	says(&w, "ROLLBACK", "a");
	EXPECT_STR(shown(&w), "off");
	says(&w, "ROLLBACK", "a"); /* it is still there */
	EXPECT_STR(shown(&w), "off");
	says(&w, "RELEASE", "a");
	says(&w, "ROLLBACK", "a");
	EXPECT_STR(shown(&w), "strict");
	/* One that was skipped behind an error is not waited for. */
	const struct stmt_facts skipped = {.command = COMMAND_TXN, .tag = "SAVEPOINT", .name = "c"};

	EXPECT(set(&w, SETTING_SET, "off", true) == NULL);
	wishes_note(&w, &skipped);
	wishes_settled(&w);
	says(&w, "ROLLBACK", "a");
	EXPECT_STR(shown(&w), "strict");
	/* More than fit. */
	for (int i = 0; i < 3 * WISHES_MARKS; i++)
		says(&w, "SAVEPOINT", "many");
	EXPECT(w.nmarks == WISHES_MARKS);
	says(&w, "COMMIT", NULL);
	EXPECT(w.nmarks == 0);
	wishes_free(&w);
}

TEST(wishes, durations)
{
	struct wishes w;
	char text[64];

	wishes_init(&w, &policy);
	EXPECT(wishes_change(&w, SETTING_SET, "pgweir.max_staleness", "2", false) == NULL);
	EXPECT_EQ(w.now.max_staleness, 2000000);
	wishes_text(WISH_MAX_STALENESS, &w.now, text, sizeof text);
	EXPECT_STR(text, "2s");
	EXPECT(wishes_change(&w, SETTING_SET, "pgweir.max_staleness", "1500us", false) == NULL);
	wishes_text(WISH_MAX_STALENESS, &w.now, text, sizeof text);
	EXPECT_STR(text, "1500us");
	EXPECT_STR(wishes_change(&w, SETTING_SET, "pgweir.max_staleness", "0", false), "22023");
	EXPECT_STR(wishes_change(&w, SETTING_SET, "pgweir.max_staleness", "61min", false), "22023");
	wishes_free(&w);
}
