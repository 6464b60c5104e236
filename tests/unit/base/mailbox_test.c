#include "tests/support/test.h"

#include "proxy/base/mailbox.h"
#include "proxy/base/ring.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#define SENDERS 4
#define LETTERS 5000

struct letter {
	struct mail mail;
	int sender, number;
};

struct reader {
	int next[SENDERS]; /* number expected from each */
	int got;
	bool in_order;
};

struct sender {
	struct mailbox *to;
	int id;
};

static void letter_run(struct mail *mail, void *ctx)
{
	struct letter *letter = ring_item(mail, struct letter, mail);
	struct reader *reader = ctx;

	if (letter->number != reader->next[letter->sender])
		reader->in_order = false;
	reader->next[letter->sender] = letter->number + 1;
	reader->got++;
	free(letter);
}

static void post_letter(struct mailbox *to, int sender, int number)
{
	struct letter *letter = malloc(sizeof(*letter));

	letter->mail.run = letter_run;
	letter->sender = sender;
	letter->number = number;
	mailbox_post(to, &letter->mail);
}

static void *sender_main(void *arg)
{
	struct sender *sender = arg;

	for (int i = 0; i < LETTERS; i++)
		post_letter(sender->to, sender->id, i);
	return NULL;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* The reader waits on fd only when mailbox_sleep allows it: mail must never be slept over. */
static void read_all(struct mailbox *mb, struct reader *reader)
{
	while (reader->got < SENDERS * LETTERS) {
		if (mailbox_sleep(mb)) {
			REQUIRE(readable(mb->fd, 10000));
			mailbox_quiet(mb);
		}
		mailbox_run(mb);
	}
}

TEST(mailbox, delivers_all_mail_of_many_threads_in_each_ones_order)
{
	struct reader reader = {.in_order = true};
	struct mailbox mb;
	pthread_t threads[SENDERS];
	struct sender senders[SENDERS];

	REQUIRE(mailbox_init(&mb, &reader, NULL) == 0);
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.to = &mb, .id = i};
		pthread_create(&threads[i], NULL, sender_main, &senders[i]);
	}
	read_all(&mb, &reader);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(reader.got, SENDERS * LETTERS);
	EXPECT(reader.in_order);
	mailbox_done(&mb);
}

TEST(mailbox, is_readable_only_while_mail_waits)
{
	struct reader reader = {.in_order = true};
	struct mailbox mb;

	REQUIRE(mailbox_init(&mb, &reader, NULL) == 0);
	EXPECT(!readable(mb.fd, 0));
	post_letter(&mb, 0, 0);
	post_letter(&mb, 0, 1);
	EXPECT(readable(mb.fd, 0));
	mailbox_quiet(&mb);
	EXPECT(mailbox_run(&mb));
	EXPECT_EQ(reader.got, 2);
	EXPECT(reader.in_order);
	EXPECT(mailbox_sleep(&mb));
	EXPECT(!readable(mb.fd, 0));
	post_letter(&mb, 0, 2);
	EXPECT(readable(mb.fd, 0));
	mailbox_done(&mb);
}

TEST(mailbox, needs_no_system_call_while_the_reader_is_awake)
{
	struct reader reader = {.in_order = true};
	struct mailbox mb;

	REQUIRE(mailbox_init(&mb, &reader, NULL) == 0);
	mailbox_run(&mb); /* awake from here */
	post_letter(&mb, 0, 0);
	EXPECT(!readable(mb.fd, 0));
	EXPECT(!mailbox_sleep(&mb)); /* mail: it must not sleep */
	EXPECT(mailbox_run(&mb));
	EXPECT_EQ(reader.got, 1);
	EXPECT(mailbox_sleep(&mb));
	post_letter(&mb, 0, 1);
	EXPECT(readable(mb.fd, 0));
	mailbox_done(&mb);
	EXPECT_EQ(reader.got, 2); /* the last mail is run at the end */
}
