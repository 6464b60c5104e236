#include "proxy/auth/slow.h"

#include "proxy/base/ring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdlib.h>

struct slow *slow_new(void (*done)(void *owner, struct slow *slow), void *owner)
{
	struct slow *slow = calloc(1, sizeof *slow);

	if (slow == NULL)
		return NULL;
	slow->done = done;
	slow->owner = owner;
	return slow;
}

void slow_free(struct slow **sp)
{
	struct slow *slow = *sp;

	*sp = NULL;
	if (slow == NULL)
		return;
	OPENSSL_cleanse(slow, sizeof *slow);
	free(slow);
}

void slow_abandon(struct slow **sp)
{
	if (*sp != NULL)
		(*sp)->owner = NULL;
	*sp = NULL;
}

static void work_salt(struct slow *slow)
{
	slow->ok =
		scram_salt_password(span_of(slow->password, slow->password_n),
				    span_of(slow->salt, slow->salt_n), slow->iterations, slow->salted) == 0;
}

bool slow_set_salt(struct slow *slow, struct span password, struct span salt, uint32_t iterations)
{
	if (password.n > SECRET_MAX || salt.n > sizeof slow->salt)
		return false;
	if (password.n != 0)
		memcpy(slow->password, password.p, password.n);
	slow->password[password.n] = '\0';
	slow->password_n = password.n;
	if (salt.n != 0)
		memcpy(slow->salt, salt.p, salt.n);
	slow->salt_n = salt.n;
	slow->iterations = iterations;
	slow->work = work_salt;
	return true;
}

/* The system's user database may be a directory server far away: hence not in the loop. */
static void work_name(struct slow *slow)
{
	size_t size = 1024;
	struct passwd pw, *found = NULL;
	char *space = NULL;
	int rc = ERANGE;

	while (rc == ERANGE && size <= 1024 * 1024) {
		free(space);
		space = malloc(size);
		if (space == NULL)
			return;
		rc = getpwuid_r(slow->uid, &pw, space, size, &found);
		size *= 4;
	}
	if (rc == 0 && found != NULL && strlen(found->pw_name) < sizeof slow->name) {
		strcpy(slow->name, found->pw_name);
		slow->ok = true;
	}
	free(space);
}

void slow_set_name(struct slow *slow, uid_t uid)
{
	slow->uid = uid;
	slow->work = work_name;
}

static void job_work(struct offload_job *job)
{
	struct slow *slow = ring_item(job, struct slow, job);

	slow->work(slow);
}

static void mail_run(struct mail *mail, void *ctx)
{
	struct offload_job *job = ring_item(mail, struct offload_job, mail);
	struct slow *slow = ring_item(job, struct slow, job);

	(void)ctx;
	if (slow->owner != NULL)
		slow->done(slow->owner, slow);
	slow_free(&slow);
}

int slow_start(struct slow *slow, struct loop *l, struct offload *o, struct err *err)
{
	slow->job.work = job_work;
	slow->job.reply_to = loop_mailbox(l);
	slow->job.mail.run = mail_run;
	if (offload_submit(o, &slow->job) != 0) {
		slow_free(&slow);
		return err_state(err, "53300", "too many logins are under way");
	}
	return 0;
}
