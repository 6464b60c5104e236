#include "tests/support/test.h"

#include "proxy/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
	char path[64];
	char text[65536];
};

static void sink_open(struct sink *s, enum log_level level, int json)
{
	int fd;

	strcpy(s->path, "/tmp/pgweir-log-XXXXXX");
	fd = mkstemp(s->path);
	REQUIRE(fd >= 0);
	close(fd);
	log_max_rate(0);
	REQUIRE(log_open(s->path, level, json, NULL) == 0);
}

/* What was written so far. */
static const char *sink_text(struct sink *s)
{
	int fd = open(s->path, O_RDONLY);
	ssize_t n;

	REQUIRE(fd >= 0);
	n = read(fd, s->text, sizeof(s->text) - 1);
	REQUIRE(n >= 0);
	s->text[n] = '\0';
	close(fd);
	return s->text;
}

static void sink_close(struct sink *s)
{
	log_close();
	log_max_rate(100);
	unlink(s->path);
}

/* The line behind "[pid] ", without its newline. */
static const char *after_pid(const char *line)
{
	char *end = strchr(line, '\n'), *start = strstr(line, "] ");

	REQUIRE(end != NULL && start != NULL);
	*end = '\0';
	return start + 2;
}

static int count_of(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static const struct log_who mike = {
	.kind = "client", .id = 17, .database = "app", .user = "mike", .peer = "1.2.3.4:55"};

TEST(log, says_when_who_what_and_facts_in_one_line)
{
	struct sink s;
	const char *text;
	int y, mo, d, h, mi, se, ms, pid;

	sink_open(&s, LOG_LEVEL_INFO, 0);
	log_warn(&mike, "login refused", F_STR("reason", "no such user"), F_US("after", 12),
		 F_LSN("at", 0x16B3748), F_INT("left", -3));
	text = sink_text(&s);
	EXPECT_EQ(sscanf(text, "%d-%d-%d %d:%d:%d.%d UTC [%d]", &y, &mo, &d, &h, &mi, &se, &ms, &pid), 8);
	EXPECT_EQ(pid, getpid());
	EXPECT_STR(after_pid(text), "WARN client-17 app/mike@1.2.3.4:55: login refused "
				    "reason=\"no such user\" after=12us at=0/16B3748 left=-3");
	sink_close(&s);
}

TEST(log, leaves_out_what_is_not_known_about_who)
{
	static const struct {
		struct log_who who;
		const char *line;
	} cases[] = {
		{{.kind = "feed"}, "INFO feed: started"},
		{{.kind = "server", .id = 3, .database = "app"}, "INFO server-3 app: started"},
		{{.kind = "client", .id = 3, .peer = "unix"}, "INFO client-3 @unix: started"},
		{{.kind = NULL}, "INFO started"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sink s;

		sink_open(&s, LOG_LEVEL_INFO, 0);
		log_info(&cases[i].who, "started");
		EXPECT_STR(after_pid(sink_text(&s)), cases[i].line);
		sink_close(&s);
	}
}

TEST(log, cannot_be_made_to_forge_a_line)
{
	struct sink s;
	struct log_who who = {.kind = "client", .id = 1, .database = "a\nERROR b", .user = "x y\x1b[2J"};

	sink_open(&s, LOG_LEVEL_INFO, 0);
	log_info(&who, "hello", F_STR("name", "a\"b\\c\r\n\xff\xc3\xa9\xc2\x85"));
	EXPECT_STR(after_pid(sink_text(&s)), "INFO client-1 a\\x0aERROR\\x20b/x\\x20y\\x1b[2J: hello "
					     "name=\"a\\\"b\\\\c\\x0d\\x0a\\xff\xc3\xa9\\xc2\\x85\"");
	sink_close(&s);
}

TEST(log, writes_one_json_object_a_line)
{
	struct sink s;
	const char *text;
	char want[512];

	sink_open(&s, LOG_LEVEL_INFO, 1);
	log_error(&mike, "login refused", F_STR("reason", "a\"b\\c\n\t\x7f"),
		  F_SPAN("bytes", span_of("\0\xff\xed\xa0\x80\xf0\x9f\x90\x98", 9)), F_US("after", 12),
		  F_LSN("at", 0x100000002), F_INT("n", 7));
	text = sink_text(&s);
	EXPECT(strncmp(text, "{\"time\":\"20", 11) == 0);
	snprintf(
		want, sizeof(want),
		"Z\",\"level\":\"error\",\"pid\":%d,\"event\":\"login refused\",\"kind\":\"client\",\"id\":17,"
		"\"database\":\"app\",\"user\":\"mike\",\"peer\":\"1.2.3.4:55\","
		"\"reason\":\"a\\\"b\\\\c\\n\\u0009\\u007f\","
		"\"bytes\":\"\\u0000\\ufffd\\ufffd\\ufffd\\ufffd\xf0\x9f\x90\x98\",\"after_us\":12,"
		"\"at\":\"1/2\",\"n\":7}\n",
		getpid());
	REQUIRE(strchr(text, 'Z') != NULL);
	EXPECT_STR(strchr(text, 'Z'), want);
	sink_close(&s);
}

TEST(log, cuts_a_long_line_and_stays_well_formed)
{
	static char big[20000];
	struct sink s;
	const char *text;

	memset(big, '"', sizeof(big) - 1);
	for (int json = 0; json < 2; json++) {
		sink_open(&s, LOG_LEVEL_INFO, json);
		log_info(&mike, "long", F_STR("big", big), F_STR("more", big));
		text = sink_text(&s);
		EXPECT(strlen(text) <= 4096);
		EXPECT_EQ(count_of(text, "\n"), 1);
		EXPECT(strstr(text, json ? "\\\"\",\"cut\":true}\n" : "\\\"\" ...\n") != NULL);
		sink_close(&s);
	}
}

TEST(log, says_nothing_below_its_level)
{
	struct sink s;

	sink_open(&s, LOG_LEVEL_WARN, 0);
	log_info(NULL, "quiet");
	log_debug(NULL, "quiet");
	EXPECT(!log_enabled(LOG_LEVEL_INFO));
	log_warn(NULL, "loud");
	EXPECT_EQ(count_of(sink_text(&s), "quiet"), 0);
	EXPECT_EQ(count_of(sink_text(&s), "loud"), 1);
	sink_close(&s);
}

TEST(log, limits_each_event_and_says_how_many_lines_were_left_out)
{
	struct sink s;
	const char *text, *left;
	int flood, count = 0;

	sink_open(&s, LOG_LEVEL_INFO, 0);
	log_max_rate(5);
	for (int i = 0; i < 1000; i++)
		log_info(NULL, "flood");
	log_info(NULL, "something else");
	log_close(); /* a new second, or the end, reports */
	text = sink_text(&s);
	flood = count_of(text, "INFO flood");
	EXPECT(flood >= 5 && flood <= 10); /* a second may end in between */
	EXPECT_EQ(count_of(text, "INFO something else"), 1);
	for (left = text; (left = strstr(left, "log lines left out event=\"flood\" count=")) != NULL; left++)
		count += atoi(strstr(left, "count=") + 6);
	EXPECT_EQ(count, 1000 - flood);
	sink_close(&s);
}

TEST(log, moves_to_another_file_at_reload)
{
	struct sink first, second;

	sink_open(&first, LOG_LEVEL_INFO, 0);
	log_info(NULL, "one");
	sink_open(&second, LOG_LEVEL_INFO, 0);
	log_info(NULL, "two");
	EXPECT_EQ(count_of(sink_text(&first), "one"), 1);
	EXPECT_EQ(count_of(sink_text(&first), "two"), 0);
	EXPECT_EQ(count_of(sink_text(&second), "two"), 1);
	unlink(first.path);
	sink_close(&second);
}

TEST(log, never_waits_for_a_reader_that_is_stuck)
{
	struct sink s;
	int fd;

	strcpy(s.path, "/tmp/pgweir-fifo-XXXXXX");
	REQUIRE(mkdtemp(s.path) != NULL);
	REQUIRE(rmdir(s.path) == 0);
	REQUIRE(mkfifo(s.path, 0600) == 0);
	fd = open(s.path, O_RDONLY | O_NONBLOCK);
	REQUIRE(fd >= 0);
	log_max_rate(0);
	REQUIRE(log_open(s.path, LOG_LEVEL_INFO, 0, NULL) == 0);
	for (int i = 0; i < 5000; i++)
		log_info(NULL, "into a pipe that nobody reads"); /* would hang at 64 KiB */
	EXPECT(read(fd, s.text, sizeof(s.text)) > 4096);
	close(fd);
	sink_close(&s);
}

TEST(log, changes_nothing_before_it_is_told_to)
{
	struct sink before, after;
	int fd;

	sink_open(&after, LOG_LEVEL_INFO, 0);
	sink_open(&before, LOG_LEVEL_INFO, 0);
	REQUIRE(log_prepare(after.path, &fd, NULL) == 0);
	log_info(NULL, "still here");
	log_debug(NULL, "not said");
	log_use(fd, LOG_LEVEL_DEBUG, 1);
	log_debug(NULL, "and now there");
	EXPECT(strstr(sink_text(&before), "still here") != NULL);
	EXPECT(strstr(sink_text(&before), "not said") == NULL);
	EXPECT(strstr(sink_text(&before), "there") == NULL);
	EXPECT(strstr(sink_text(&after), "\"event\":\"and now there\"") != NULL);
	unlink(before.path);
	sink_close(&after);
}

TEST(log, refuses_a_file_that_cannot_be_opened)
{
	struct err err;

	EXPECT_EQ(log_open("/nonexistent/dir/log", LOG_LEVEL_INFO, 0, &err), -1);
	EXPECT_STR(err.text, "cannot open log file /nonexistent/dir/log: No such file or directory");
}
