#include "config/hba.h"
#include "tests/support/test.h"
#include "tests/unit/config/scratch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

static struct hba *parse(const char *text)
{
	struct hba *hba = NULL;
	struct err err = {0};

	if (hba_parse(text, strlen(text), "hba", &hba, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(hba != NULL);
	return hba;
}

/* "local", "replication", or an address; the line of the rule that matches, or 0. */
static int match(const struct hba *hba, const char *from, bool tls, const char *database, const char *user)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct hba_facts facts = {.tls = tls, .database = database, .user = user};
	const struct hba_rule *rule;

	if (inet_pton(AF_INET, from, &v4.sin_addr) == 1)
		facts.addr = (struct sockaddr *)&v4;
	else if (inet_pton(AF_INET6, from, &v6.sin6_addr) == 1)
		facts.addr = (struct sockaddr *)&v6;
	else
		facts.replication = strcmp(from, "replication") == 0;
	rule = hba_match(hba, &facts);
	return rule != NULL ? rule->line : 0;
}

TEST(hba, the_first_match_wins)
{
	struct hba *hba = parse("# rules\n"
				"host shop anna 10.0.0.0/8 reject\n"
				"host all all 10.0.0.0/8 md5\n"
				"host all all all scram-sha-256\n");

	EXPECT_EQ(hba_rule_count(hba), 3);
	EXPECT_EQ(match(hba, "10.1.2.3", false, "shop", "anna"), 2);
	EXPECT_EQ(match(hba, "10.1.2.3", false, "shop", "bob"), 3);
	EXPECT_EQ(match(hba, "11.1.2.3", false, "shop", "anna"), 4);
	EXPECT_EQ(match(hba, "local", false, "shop", "anna"), 0);
	hba_free(&hba);
}

TEST(hba, matches_the_kind_of_connection)
{
	struct hba *hba = parse("local all all peer\n"
				"hostssl all all all cert\n"
				"hostnossl all all 127.0.0.1/32 trust\n"
				"hostnogssenc all all ::1/128 password\n");

	EXPECT_EQ(match(hba, "local", false, "a", "b"), 1);
	EXPECT_EQ(match(hba, "127.0.0.1", true, "a", "b"), 2);
	EXPECT_EQ(match(hba, "127.0.0.1", false, "a", "b"), 3);
	EXPECT_EQ(match(hba, "127.0.0.2", false, "a", "b"), 0);
	EXPECT_EQ(match(hba, "::1", true, "a", "b"), 2);
	EXPECT_EQ(match(hba, "::1", false, "a", "b"), 4);
	hba_free(&hba);
}

TEST(hba, matches_lists_and_words_of_databases)
{
	struct hba *hba = parse("local a,b,\"c d\" all trust\n"
				"local sameuser all md5\n"
				"local \"all\" all reject\n"
				"local \"sameuser\", e all reject\n");

	EXPECT_EQ(match(hba, "local", false, "a", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "b", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "c d", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "u", "u"), 2);
	EXPECT_EQ(match(hba, "local", false, "all", "u"), 3);
	EXPECT_EQ(match(hba, "local", false, "sameuser", "u"), 4);
	EXPECT_EQ(match(hba, "local", false, "e", "u"), 4);
	EXPECT_EQ(match(hba, "local", false, "x", "u"), 0);
	hba_free(&hba);
}

TEST(hba, matches_lists_of_users)
{
	struct hba *hba = parse(
		"local all anna,\"Bob B\" trust\nlocal all \"all\" reject\nlocal all \"+x\",\"@y\" md5\n");

	EXPECT_EQ(match(hba, "local", false, "d", "anna"), 1);
	EXPECT_EQ(match(hba, "local", false, "d", "Bob B"), 1);
	EXPECT_EQ(match(hba, "local", false, "d", "bob b"), 0);
	EXPECT_EQ(match(hba, "local", false, "d", "all"), 2);
	EXPECT_EQ(match(hba, "local", false, "d", "+x"), 3);
	EXPECT_EQ(match(hba, "local", false, "d", "carl"), 0);
	hba_free(&hba);
}

TEST(hba, reads_lists_from_files)
{
	struct scratch s;
	struct hba *hba = NULL;
	struct err err;

	scratch_make(&s);
	scratch_file(&s, "more", "\"d d\"\n");
	scratch_file(&s, "dbs", "# ours\na, b\tc\n@more\n\n");
	scratch_file(&s, "none", "# nobody\n");
	scratch_file(&s, "self", "x @self\n");
	REQUIRE(hba_load(scratch_file(&s, "hba",
				      "local @dbs,e all trust\nlocal all @none md5\nlocal all @ reject\n"),
			 &hba, &err) == 0);
	EXPECT_EQ(match(hba, "local", false, "a", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "c", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "d d", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "e", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "@dbs", "u"), 0);
	EXPECT_EQ(match(hba, "local", false, "x", "@"), 3);
	hba_free(&hba);
	EXPECT(hba_load(scratch_file(&s, "hba", "local all @gone md5\n"), &hba, &err) != 0);
	EXPECT(strstr(err.text, "/hba:1: cannot open ") != NULL && strstr(err.text, "/gone") != NULL);
	EXPECT(hba_load(scratch_file(&s, "hba", "local all @self md5\n"), &hba, &err) != 0);
	EXPECT(strstr(err.text, "more than 10 deep") != NULL);
	scratch_file(&s, "roles", "\n+admins\n");
	EXPECT(hba_load(scratch_file(&s, "hba", "local all @roles md5\n"), &hba, &err) != 0);
	EXPECT(strstr(err.text, "membership in roles (+admins)") != NULL);
	scratch_file(&s, "broken", "a\n\"b\n");
	EXPECT(hba_load(scratch_file(&s, "hba", "local @broken all md5\n"), &hba, &err) != 0);
	EXPECT(strstr(err.text, "/broken:2: a double quote does not end") != NULL);
	scratch_drop(&s);
}

TEST(hba, an_address_within_its_network_is_the_network)
{
	struct hba *hba =
		parse("host all all 10.1.2.3/8 trust\nhost all all 192.168.1.7 255.255.255.0 md5\n");

	EXPECT_EQ(match(hba, "10.9.9.9", false, "d", "u"), 1);
	EXPECT_EQ(match(hba, "192.168.1.1", false, "d", "u"), 2);
	EXPECT_EQ(match(hba, "192.168.2.7", false, "d", "u"), 0);
	hba_free(&hba);
}

TEST(hba, physical_replication_matches_only_its_word)
{
	struct hba *hba =
		parse("local all all trust\nlocal \"replication\" all md5\nlocal x,replication all reject\n");

	EXPECT_EQ(match(hba, "replication", false, "d", "u"), 3);
	EXPECT_EQ(match(hba, "local", false, "d", "u"), 1);
	hba_free(&hba);
}

TEST(hba, a_database_named_replication_needs_quotes)
{
	struct hba *hba = parse("local replication all reject\nlocal \"replication\" all md5\n");

	EXPECT_EQ(match(hba, "local", false, "replication", "u"), 2);
	hba_free(&hba);
}

TEST(hba, matches_masks_and_prefixes_of_both_families)
{
	struct hba *hba = parse("host all a 192.168.0.0 255.255.0.0 trust\n"
				"host all a 192.0.0.0/9 trust\n"
				"host all a 2001:db8::/33 trust\n"
				"host all a fe80:: ffff:: trust\n"
				"host all a 0.0.0.0/0 trust\n"
				"host all b ::/0 trust\n");

	EXPECT_EQ(match(hba, "192.168.255.1", false, "d", "a"), 1);
	EXPECT_EQ(match(hba, "192.127.0.1", false, "d", "a"), 2);
	EXPECT_EQ(match(hba, "192.128.0.1", false, "d", "a"), 5);
	EXPECT_EQ(match(hba, "2001:db8:7fff::1", false, "d", "a"), 3);
	EXPECT_EQ(match(hba, "2001:db8:8000::1", false, "d", "a"), 0);
	EXPECT_EQ(match(hba, "fe80::1", false, "d", "a"), 4);
	EXPECT_EQ(match(hba, "fe81::1", false, "d", "a"), 0);
	EXPECT_EQ(match(hba, "::1", false, "d", "b"), 6);
	EXPECT_EQ(match(hba, "1.2.3.4", false, "d", "b"), 0);
	hba_free(&hba);
}

TEST(hba, takes_ipv4_within_ipv6_for_ipv4)
{
	struct hba *hba = parse("host all all 10.0.0.0/8 trust\n");

	EXPECT_EQ(match(hba, "::ffff:10.1.2.3", false, "d", "u"), 1);
	EXPECT_EQ(match(hba, "::ffff:11.1.2.3", false, "d", "u"), 0);
	hba_free(&hba);
}

TEST(hba, reads_options)
{
	struct hba *hba = parse("hostssl all all all md5 clientcert=verify-ca\n"
				"hostssl all all all cert map=certs\n"
				"local all all peer map=\"my map\"\n");
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct hba_facts facts = {.addr = (struct sockaddr *)&v4, .tls = true, .database = "d", .user = "u"};
	const struct hba_rule *rule = hba_match(hba, &facts);

	REQUIRE(rule != NULL);
	EXPECT_EQ(rule->method, HBA_MD5);
	EXPECT_EQ(rule->clientcert, HBA_CERT_VERIFY_CA);
	EXPECT_STR(rule->map, "");
	facts.addr = NULL;
	rule = hba_match(hba, &facts);
	REQUIRE(rule != NULL);
	EXPECT_EQ(rule->method, HBA_PEER);
	EXPECT_STR(rule->map, "my map");
	hba_free(&hba);
	hba = parse("hostssl all all all cert map=certs\n");
	facts.addr = (struct sockaddr *)&v4;
	rule = hba_match(hba, &facts);
	REQUIRE(rule != NULL);
	EXPECT_STR(rule->map, "certs");
	EXPECT_EQ(rule->clientcert, HBA_CERT_VERIFY_FULL);
	hba_free(&hba);
}

TEST(hba, glues_continued_lines_and_keeps_the_count)
{
	struct hba *hba = parse("local \\\n  a \\\n all trust\nlocal b all trust # why\n");

	EXPECT_EQ(match(hba, "local", false, "a", "u"), 1);
	EXPECT_EQ(match(hba, "local", false, "b", "u"), 4);
	hba_free(&hba);
}

TEST(hba, says_what_it_does_not_know)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{"\nhots all all all md5",
		 "hba:2: connection type \"hots\" is not supported, did you mean \"host\"?"},
		{"hostgssenc all all all md5",
		 "hba:1: connection type \"hostgssenc\" is not supported, did you mean \"hostssl\"?"},
		{"local", "hba:1: the line ends before the database"},
		{"local all", "hba:1: the line ends before the user"},
		{"local all all", "hba:1: the method is missing"},
		{"host all all", "hba:1: the address is missing"},
		{"host all all 10.0.0.0/8", "hba:1: the method is missing"},
		{"local all all scram-sha256",
		 "hba:1: method \"scram-sha256\" is not supported, did you mean \"scram-sha-256\"?"},
		{"local all all ldap", "hba:1: method \"ldap\" is not supported"},
		{"local all +staff md5", "hba:1: membership in roles (+staff) is not supported"},
		{"local @dbs all md5", "hba:1: a list in a file (@dbs) needs a file to look from"},
		{"local /^x all md5", "hba:1: regular expressions (/^x) are not supported"},
		{"local samerole all md5", "hba:1: samerole is not supported"},
		{"host all all db.example.org md5",
		 "hba:1: address \"db.example.org\" is not supported (IPv4, IPv6 or all; no names)"},
		{"host all all samenet md5",
		 "hba:1: address \"samenet\" is not supported (IPv4, IPv6 or all; no names)"},
		{"host all all 10.0.0.0/33 md5",
		 "hba:1: the prefix length of \"10.0.0.0/33\" must be 0 to 32"},
		{"host all all ::/129 md5", "hba:1: the prefix length of \"::/129\" must be 0 to 128"},
		{"host all all 10.0.0.0/x md5", "hba:1: the prefix length of \"10.0.0.0/x\" must be 0 to 32"},
		{"host all all 10.0.0.0 md5", "hba:1: address \"10.0.0.0\" needs a prefix length or a mask"},
		{"host all all 10.0.0.0 255.0.255.0 md5", "hba:1: mask \"255.0.255.0\" has holes"},
		{"host all all all peer", "hba:1: peer is for local lines only"},
		{"host all all all cert", "hba:1: cert is for hostssl lines only"},
		{"host all all all md5 clientcert=verify-ca", "hba:1: clientcert is for hostssl lines only"},
		{"hostssl all all all md5 clientcert=1",
		 "hba:1: clientcert must be verify-ca or verify-full, not \"1\""},
		{"local all all md5 mapp=x",
		 "hba:1: option \"mapp\" is not supported, did you mean \"map\"?"},
		{"local all all md5 what", "hba:1: expected an option name=value, not what"},
		{"local \"all all md5", "hba:1: a double quote does not end"},
		{"local ,\n", "hba:1: a list is empty"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct hba *hba = NULL;
		struct err err = {0};

		EXPECT_EQ(hba_parse(rows[i].text, strlen(rows[i].text), "hba", &hba, &err), -1);
		EXPECT_STR(err.text, rows[i].error);
		EXPECT(hba == NULL);
	}
}

TEST(hba, survives_every_cut_of_a_file)
{
	static const char text[] =
		"local a,\"b \"\"c\" all peer map=x\\\n#\nhost all all 10.0.0.0 255.0.0.0 md5\n";

	for (size_t n = 0; n < sizeof text; n++) {
		struct hba *hba = NULL;
		struct err err;
		char *copy = strndup(text, n);
		int rc = hba_parse(copy, n, "hba", &hba, &err);

		EXPECT_EQ(rc == 0, hba != NULL);
		hba_free(&hba);
		free(copy);
	}
}

TEST(hba, knows_the_names_of_its_methods)
{
	EXPECT_STR(hba_method_name(HBA_TRUST), "trust");
	EXPECT_STR(hba_method_name(HBA_SCRAM), "scram-sha-256");
	EXPECT_STR(hba_method_name(HBA_PEER), "peer");
}
