/* mailbox.h - post work to the thread that owns something.
 * Source  none (a lock-free stack reversed by the reader; eventfd wakes the loop).
 * Shape   many writers, one reader; mail is intrusive and lives in the sender's object.
 * Owner   a posted mail belongs to the mailbox until its `run` is called; run may free it.
 * Thread  mailbox_post from any thread; the rest from the owner's.
 * Errors  none after mailbox_init. */
#ifndef PROXY_BASE_MAILBOX_H
#define PROXY_BASE_MAILBOX_H

#include "proxy/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

struct mail {
	struct mail *next;
	/* Called in the owner's thread, with the context given to mailbox_init. */
	void (*run)(struct mail *mail, void *ctx);
};

struct mailbox {
	/* NULL while the owner is awake: mail needs no wake-up then. A mark of its own while it may sleep. */
	_Atomic(struct mail *) head;
	int fd; /* eventfd, readable when mail waits and the owner may sleep */
	void *ctx;
};

int mailbox_init(struct mailbox *mb, void *ctx, struct err *err);
/* Mail that is still there is run a last time. No sender may be left. */
void mailbox_done(struct mailbox *mb);
void mailbox_post(struct mailbox *mb, struct mail *mail);

/* The owner is awake for many rounds. mailbox_run runs all mail in the order of posting (per sender), does not touch
 * the eventfd and leaves the box awake; its result says whether there was mail. mailbox_sleep must be asked before
 * blocking: false = there is mail, do not block. mailbox_quiet makes fd unreadable after a wake-up. */
bool mailbox_run(struct mailbox *mb);
bool mailbox_sleep(struct mailbox *mb);
void mailbox_quiet(struct mailbox *mb);
void mailbox_wake(struct mailbox *mb); /* any thread: makes fd readable without mail */

#endif
