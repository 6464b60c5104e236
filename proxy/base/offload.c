#include "proxy/base/offload.h"

#include "proxy/base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct offload {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct offload_job *first, *last; /* FIFO */
	unsigned nqueued, max_queued;
	bool stopping;
	unsigned nthreads;
	pthread_t threads[];
};

static struct offload_job *offload_take(struct offload *o)
{
	struct offload_job *job;

	pthread_mutex_lock(&o->lock);
	while (o->first == NULL && !o->stopping)
		pthread_cond_wait(&o->more, &o->lock);
	job = o->first;
	if (job != NULL) {
		o->first = job->next;
		if (o->first == NULL)
			o->last = NULL;
		o->nqueued--;
	}
	pthread_mutex_unlock(&o->lock);
	return job;
}

static void *offload_main(void *arg)
{
	struct offload *o = arg;
	struct offload_job *job;

	while ((job = offload_take(o)) != NULL) {
		job->work(job);
		mailbox_post(job->reply_to, &job->mail);
	}
	return NULL;
}

/* Signals belong to the main thread. */
static int offload_start(struct offload *o, unsigned n, struct err *err)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (; o->nthreads < n && rc == 0; o->nthreads += rc == 0)
		rc = pthread_create(&o->threads[o->nthreads], NULL, offload_main, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(err, "cannot start a helper thread: %s", strerror(rc));
	return 0;
}

struct offload *offload_new(unsigned nthreads, unsigned max_queued, struct err *err)
{
	struct offload *o;

	check(nthreads > 0);
	o = check_alloc(sizeof *o + nthreads * sizeof o->threads[0]);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->more, NULL);
	o->max_queued = max_queued;
	if (offload_start(o, nthreads, err) != 0)
		offload_free(&o);
	return o;
}

void offload_free(struct offload **op)
{
	struct offload *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_broadcast(&o->more);
	pthread_mutex_unlock(&o->lock);
	for (unsigned i = 0; i < o->nthreads; i++)
		pthread_join(o->threads[i], NULL);
	pthread_cond_destroy(&o->more);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int offload_submit(struct offload *o, struct offload_job *job)
{
	int rc = -1;

	job->next = NULL;
	pthread_mutex_lock(&o->lock);
	if (o->nqueued < o->max_queued && !o->stopping) {
		if (o->last != NULL)
			o->last->next = job;
		else
			o->first = job;
		o->last = job;
		o->nqueued++;
		pthread_cond_signal(&o->more);
		rc = 0;
	}
	pthread_mutex_unlock(&o->lock);
	return rc;
}
