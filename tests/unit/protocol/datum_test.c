#include "tests/unit/protocol/tools.h"

#include "protocol/datum.h"

/* The canonical form, as a string that names the status when there is none. */
static const char *canon(uint32_t type, bool binary, struct span in)
{
	static char text[300];
	struct buf b;

	buf_init(&b, 256);
	buf_add(&b, "<", 1);
	switch (datum_canon(type, binary, in, &b)) {
	case DATUM_OK:
		buf_add_u8(&b, 0);
		memcpy(text, b.p + 1, b.len - 1);
		break;
	case DATUM_UNKNOWN:
		EXPECT_EQ(b.len, 1);
		strcpy(text, "UNKNOWN");
		break;
	case DATUM_BAD:
		EXPECT_EQ(b.len, 1);
		strcpy(text, "BAD");
		break;
	}
	buf_free(&b);
	return text;
}

#define TEXT(type, in, wanted) EXPECT_STR(canon(type, false, BYTES(in)), wanted)
#define BINARY(type, in, wanted) EXPECT_STR(canon(type, true, BYTES(in)), wanted)

TEST(datum, reads_integers_as_the_server_does)
{
	TEXT(DATUM_INT4, "1", "1");
	TEXT(DATUM_INT4, " \t\n+0042 \r", "42");
	TEXT(DATUM_INT4, "-007", "-7");
	TEXT(DATUM_INT4, "-0", "0");
	TEXT(DATUM_INT4, "2147483647", "2147483647");
	TEXT(DATUM_INT4, "2147483648", "BAD");
	TEXT(DATUM_INT4, "-2147483648", "-2147483648");
	TEXT(DATUM_INT4, "-2147483649", "BAD");
	TEXT(DATUM_INT2, "32767", "32767");
	TEXT(DATUM_INT2, "32768", "BAD");
	TEXT(DATUM_INT2, "-32768", "-32768");
	TEXT(DATUM_INT8, "9223372036854775807", "9223372036854775807");
	TEXT(DATUM_INT8, "9223372036854775808", "BAD");
	TEXT(DATUM_INT8, "-9223372036854775808", "-9223372036854775808");
	TEXT(DATUM_INT8, "-9223372036854775809", "BAD");
	TEXT(DATUM_INT8, "99999999999999999999999999", "BAD");
	TEXT(DATUM_INT8, "18446744073709551617", "BAD");
	TEXT(DATUM_INT8, "000000000000000000000000000000000001", "1");
}

TEST(datum, refuses_integers_that_are_none)
{
	static const char *const bad[] = {"",	 " ",	 "+",	  "-",	 "- 1", "--1",	   "1.0",
					  "1e3", "0x10", "1_000", "1 2", "a",	"\xc2\xa0"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_STR(canon(DATUM_INT8, false, span_str(bad[i])), "BAD");
	EXPECT_STR(canon(DATUM_INT8, false, BYTES("1\0")), "BAD");
}

TEST(datum, makes_one_family_of_the_integers)
{
	BINARY(DATUM_INT2, "\xff\xfe", "-2");
	BINARY(DATUM_INT4, "\xff\xff\xff\xfe", "-2");
	BINARY(DATUM_INT8, "\xff\xff\xff\xff\xff\xff\xff\xfe", "-2");
	BINARY(DATUM_INT2, "\x80\0", "-32768");
	BINARY(DATUM_INT4, "\x80\0\0\0", "-2147483648");
	BINARY(DATUM_INT8, "\x80\0\0\0\0\0\0\0", "-9223372036854775808");
	BINARY(DATUM_INT8, "\x7f\xff\xff\xff\xff\xff\xff\xff", "9223372036854775807");
	BINARY(DATUM_INT4, "\0\0\0\0", "0");
	BINARY(DATUM_INT4, "\0\0\1\0", "256");
	BINARY(DATUM_INT4, "\0\0\1", "BAD");
	BINARY(DATUM_INT4, "\0\0\0\0\1", "BAD");
	BINARY(DATUM_INT8, "", "BAD");
}

TEST(datum, reads_oids)
{
	TEXT(DATUM_OID, " 4294967295 ", "4294967295");
	TEXT(DATUM_OID, "0", "0");
	TEXT(DATUM_OID, "4294967296", "BAD");
	TEXT(DATUM_OID, "-1", "BAD"); /* the server wraps it round; we do not guess */
	TEXT(DATUM_OID, "010", "BAD");
	BINARY(DATUM_OID, "\xff\xff\xff\xff", "4294967295");
}

TEST(datum, reads_bools_in_all_spellings)
{
	static const char *const yes[] = {"t",	"tr",  "tru", "true", "TRUE", "y",
					  "ye", "yes", "on",  "On",   "1",    " true\n"};
	static const char *const no[] = {"f",  "fa",  "fals", "false", "n",   "no",
					 "of", "off", "OFF",  "0",     "\tF "};
	static const char *const bad[] = {"", "o", "truee", "10", "2", "t rue", "yess", "O", "-1", "null"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		EXPECT_STR(canon(DATUM_BOOL, false, span_str(yes[i])), "t");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		EXPECT_STR(canon(DATUM_BOOL, false, span_str(no[i])), "f");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_STR(canon(DATUM_BOOL, false, span_str(bad[i])), "BAD");
	BINARY(DATUM_BOOL, "\1", "t");
	BINARY(DATUM_BOOL, "\0", "f");
	BINARY(DATUM_BOOL, "", "BAD");
	BINARY(DATUM_BOOL, "\1\1", "BAD");
}

TEST(datum, reads_uuids_in_all_spellings)
{
	static const char *const same[] = {
		"61626364-6566-6768-696a-6b6c6d6e6f70",	   "61626364-6566-6768-696A-6B6C6D6E6F70",
		"6162636465666768696a6b6c6d6e6f70",	   "{61626364-6566-6768-696a-6b6c6d6e6f70}",
		"6162-6364-6566-6768-696a-6b6c-6d6e-6f70",
	};
	static const char *const bad[] = {
		"",
		"{}",
		"61626364-6566-6768-696a-6b6c6d6e6f7",
		"61626364-6566-6768-696a-6b6c6d6e6f70 ",
		" 6162636465666768696a6b6c6d6e6f70",
		"{6162636465666768696a6b6c6d6e6f70",
		"6162636465666768696a6b6c6d6e6f70}",
		"6162636465666768696a6b6c6d6e6f70-",
		"61-626364656667686-96a6b6c6d6e6f70",
		"6162--6364656667686-96a6b6c6d6e6f70",
		"g162636465666768696a6b6c6d6e6f70",
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		EXPECT_STR(canon(DATUM_UUID, false, span_str(same[i])), "abcdefghijklmnop");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_STR(canon(DATUM_UUID, false, span_str(bad[i])), "BAD");
	BINARY(DATUM_UUID, "abcdefghijklmnop", "abcdefghijklmnop");
	BINARY(DATUM_UUID, "abcdefghijklmno", "BAD");
}

TEST(datum, takes_text_as_it_is)
{
	TEXT(DATUM_TEXT, " a ", " a ");
	TEXT(DATUM_VARCHAR, "", "");
	BINARY(DATUM_TEXT, "a'\"b", "a'\"b");
	TEXT(DATUM_TEXT, "a\0b", "BAD");
	TEXT(DATUM_NAME, "123456789012345678901234567890123456789012345678901234567890123",
	     "123456789012345678901234567890123456789012345678901234567890123");
	TEXT(DATUM_NAME, "1234567890123456789012345678901234567890123456789012345678901234", "BAD");
}

TEST(datum, reads_bytea)
{
	TEXT(DATUM_BYTEA, "\\x6162", "ab");
	TEXT(DATUM_BYTEA, "\\x61 62\n63", "abc");
	TEXT(DATUM_BYTEA, "\\x6 162", "BAD");
	TEXT(DATUM_BYTEA, "\\x616", "BAD");
	TEXT(DATUM_BYTEA, "a\\\\b\\143", "a\\bc");
	TEXT(DATUM_BYTEA, "a\\b", "BAD");
	TEXT(DATUM_BYTEA, "\\400", "BAD");
	TEXT(DATUM_BYTEA, "\\14", "BAD");
	BINARY(DATUM_BYTEA, "ab", "ab");
}

TEST(datum, does_not_know_types_whose_equality_is_not_that_of_bytes)
{
	static const uint32_t unknown[] = {0, 18, 114, 700, 701, 1042, 1082, 1114, 1184, 1700, 3802, 99999};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		EXPECT_STR(canon(unknown[i], false, BYTES("1")), "UNKNOWN");
		EXPECT(!datum_known(unknown[i]));
	}
	EXPECT(datum_known(DATUM_UUID));
}

TEST(datum, leaves_a_full_buffer_as_it_was)
{
	struct buf b;

	buf_init(&b, 4);
	EXPECT_EQ(datum_canon(DATUM_TEXT, false, BYTES("ab"), &b), DATUM_OK);
	EXPECT_EQ(datum_canon(DATUM_TEXT, false, BYTES("abc"), &b), DATUM_BAD);
	EXPECT_MEM(buf_span(&b), BYTES("ab"));
	buf_free(&b);
}

/* The elements with '|' behind each, "BAD"/"UNKNOWN" when it cannot be opened, "!" when it breaks. */
static const char *elements(uint32_t array_oid, bool binary, struct span in)
{
	static char text[600];
	struct datum_array a;
	struct buf b;
	bool more = true;

	switch (datum_array_open(array_oid, binary, in, &a)) {
	case DATUM_BAD: return "BAD";
	case DATUM_UNKNOWN: return "UNKNOWN";
	case DATUM_OK: break;
	}
	buf_init(&b, 500);
	while (more) {
		switch (datum_array_next(&a, &b)) {
		case DATUM_ELEMENT: buf_add(&b, "|", 1); break;
		case DATUM_NULL: buf_add(&b, "NULL|", 5); break;
		case DATUM_BROKEN:
			buf_add(&b, "!", 1);
			more = false;
			break;
		case DATUM_END: more = false; break;
		}
	}
	memcpy(text, b.len > 0 ? (char *)b.p : "", b.len);
	text[b.len] = 0;
	buf_free(&b);
	return text;
}

#define INT4S 1007
#define TEXTS 1009

#define ARRAY(type, in, wanted) EXPECT_STR(elements(type, false, BYTES(in)), wanted)

TEST(datum, walks_text_arrays)
{
	ARRAY(INT4S, "{}", "");
	ARRAY(INT4S, " { } ", "");
	ARRAY(INT4S, "{1,2,3}", "1|2|3|");
	ARRAY(INT4S, " { 1 , +02,\n-3 } ", "1|2|-3|");
	ARRAY(INT4S, "{1,NULL,null}", "1|NULL|NULL|");
	ARRAY(INT4S, "{\"1\",\"-2\"}", "1|-2|");
	ARRAY(TEXTS, "{a b,\"c,d\",\"e\\\"f\\\\\",\"NULL\",\"\",\" x \"}", "a b|c,d|e\"f\\|NULL|| x |");
	ARRAY(2951, "{61626364-6566-6768-696a-6b6c6d6e6f70}", "abcdefghijklmnop|");
	ARRAY(1001, "{\"\\\\x6162\"}", "ab|");
	ARRAY(1000, "{t,\"false\"}", "t|f|");
}

TEST(datum, breaks_at_text_arrays_that_are_none)
{
	static const char *const bad[] = {"", "{", "}", "1", "[0:1]={1,2}", "{1", "1}"};
	static const char *const broken[] = {"{1,}",	   "{,1}",    "{1,,2}",	      "{1 2}",
					     "{{1,2}}",	   "{1,{2}}", "{1,\"2}",      "{\"1\"2}",
					     "{1\"2\"}",   "{1\\2}",  "{1,\"2\\}",    "{a}",
					     "{\"NULL\"}", "{,}",     "{99999999999}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_STR(elements(INT4S, false, span_str(bad[i])), "BAD");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const char *found = elements(INT4S, false, span_str(broken[i]));

		EXPECT(strlen(found) > 0 && found[strlen(found) - 1] == '!');
	}
	EXPECT_STR(elements(1231, false, span_str("{1}")), "UNKNOWN");
}

#define HEAD "\0\0\0\1\0\0\0\1\0\0\0\x17"
#define FEW                     \
	HEAD "\0\0\0\3\0\0\0\1" \
	     "\0\0\0\4\0\0\0\7" \
	     "\xff\xff\xff\xff" \
	     "\0\0\0\4\xff\xff\xff\xff"

TEST(datum, walks_binary_arrays)
{
	EXPECT_STR(elements(INT4S, true, BYTES(FEW)), "7|NULL|-1|");
	EXPECT_STR(elements(INT4S, true, BYTES("\0\0\0\0\0\0\0\0\0\0\0\x17")), "");
	EXPECT_STR(elements(INT4S, true, BYTES(FEW "x")), "7|NULL|-1|!");
	EXPECT_STR(elements(1016, true, BYTES(FEW)), "BAD"); /* element type is not int8 */
	EXPECT_STR(
		elements(INT4S, true,
			 BYTES("\0\0\0\2\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\7")),
		"BAD");
	EXPECT_STR(elements(INT4S, true, BYTES(HEAD "\xff\xff\xff\xff\0\0\0\1")), "BAD");
	EXPECT_STR(elements(INT4S, true, BYTES(HEAD "\0\0\0\2\0\0\0\1\0\0\0\4\0\0\0\7\0\0\0\5")), "7|!");
	EXPECT_STR(elements(INT4S, true, BYTES(HEAD "\0\0\0\1\0\0\0\1\0\0\0\3\0\0\7")), "!");
}

static bool probe_binary(struct span in)
{
	const char *found = elements(INT4S, true, in);

	return strcmp(found, "BAD") != 0 && strchr(found, '!') == NULL;
}

static bool probe_text(struct span in)
{
	const char *found = elements(TEXTS, false, in);

	return strcmp(found, "BAD") != 0 && strchr(found, '!') == NULL;
}

TEST(datum, survives_hurt_arrays)
{
	EXPECT(probe_copy(probe_binary, BYTES(FEW)));
	EXPECT_EQ(probe_cuts(probe_binary, BYTES(FEW)), 0);
	probe_corrupt(probe_binary, BYTES(FEW));
	EXPECT_EQ(probe_cuts(probe_text, BYTES("{a b,\"c,d\",\"e\\\"f\",null}")), 0);
	probe_corrupt(probe_text, BYTES("{a b,\"c,d\",\"e\\\"f\",null}"));
}
