#include "proxy/base/mailbox.h"

#include "proxy/base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* At the bottom of the stack when the owner may sleep: whoever pushes on top of it must wake it. */
static struct mail asleep;

int mailbox_init(struct mailbox *mb, void *ctx, struct err *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return err_set(err, "eventfd: %s", strerror(errno));
	mb->fd = fd;
	mb->ctx = ctx;
	atomic_init(&mb->head, &asleep);
	return 0;
}

void mailbox_wake(struct mailbox *mb)
{
	/* Fails only when the counter is full, and then fd is readable anyway. */
	(void)!eventfd_write(mb->fd, 1);
}

void mailbox_quiet(struct mailbox *mb)
{
	eventfd_t n;

	(void)!eventfd_read(mb->fd, &n);
}

void mailbox_post(struct mailbox *mb, struct mail *mail)
{
	struct mail *top = atomic_load_explicit(&mb->head, memory_order_relaxed);

	do
		mail->next = top;
	while (!atomic_compare_exchange_weak_explicit(&mb->head, &top, mail, memory_order_release,
						      memory_order_relaxed));
	/* From here the mail is the reader's; only the box may be touched. */
	if (top == &asleep)
		mailbox_wake(mb);
}

bool mailbox_run(struct mailbox *mb)
{
	struct mail *mail, *fifo = NULL, *next;
	bool any;

	if (atomic_load_explicit(&mb->head, memory_order_relaxed) == NULL)
		return false;
	mail = atomic_exchange_explicit(&mb->head, NULL, memory_order_acquire);
	for (; mail != NULL && mail != &asleep; mail = next) {
		next = mail->next;
		mail->next = fifo;
		fifo = mail;
	}
	any = fifo != NULL;
	for (; fifo != NULL; fifo = next) {
		next = fifo->next; /* run may free it */
		fifo->run(fifo, mb->ctx);
	}
	return any;
}

bool mailbox_sleep(struct mailbox *mb)
{
	struct mail *none = NULL;

	if (atomic_compare_exchange_strong_explicit(&mb->head, &none, &asleep, memory_order_acq_rel,
						    memory_order_relaxed))
		return true;
	return none == &asleep;
}

void mailbox_done(struct mailbox *mb)
{
	check(mb->fd >= 0);
	while (mailbox_run(mb))
		;
	close(mb->fd);
	mb->fd = -1;
}
