#include "proxy/base/log.h"

#include "proxy/base/check.h"
#include "proxy/base/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How many different events one second's limit can tell apart; others share a slot's fate: no limit. */
#define LOG_SLOTS 128

struct log_slot {
	uint64_t key; /* hash of the event text, 0 = free */
	unsigned n;   /* lines in this second */
	unsigned left_out;
	enum log_level level;
	char event[64];
};

/* The one process-wide object: where lines go and how many of each were written. */
static struct {
	atomic_int fd;	  /* a number of our own, so that a reload can swap the file behind it */
	atomic_int level; /* enum log_level */
	atomic_int json;
	atomic_int may_block; /* a pipe, socket or terminal */
	atomic_uint rate;
	pthread_mutex_t lock;	   /* the slots and the second */
	pthread_mutex_t pipe_lock; /* room asked and line written, in one piece */
	int64_t second;
	struct log_slot slots[LOG_SLOTS];
} log_state = {
	.fd = STDERR_FILENO,
	.level = LOG_LEVEL_INFO,
	.rate = 100,
	.may_block = 1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.pipe_lock = PTHREAD_MUTEX_INITIALIZER,
};

int log_prepare(const char *path, int *fd_r, struct err *err)
{
	bool file = path != NULL && path[0] != '\0';
	int fd = STDERR_FILENO, ours;

	if (file)
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return err_set(err, "cannot open log file %s: %s", path, strerror(errno));
	ours = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (ours < 0)
		err_set(err, "cannot use the log file: %s", strerror(errno));
	if (file)
		close(fd);
	if (ours < 0)
		return -1;
	*fd_r = ours;
	return 0;
}

void log_use(int fd, enum log_level level, int json)
{
	int ours = atomic_load(&log_state.fd);
	struct stat st;

	atomic_store(&log_state.may_block, fstat(fd, &st) != 0 || !S_ISREG(st.st_mode));
	if (ours == STDERR_FILENO) {
		atomic_store(&log_state.fd, fd);
	} else {
		/* Both are there, so all that can be in the way is a signal, or an open() that is about to end. */
		while (dup3(fd, ours, O_CLOEXEC) < 0)
			check(errno == EINTR || errno == EBUSY);
		close(fd);
	}
	atomic_store(&log_state.level, (int)level);
	atomic_store(&log_state.json, json);
}

int log_open(const char *path, enum log_level level, int json, struct err *err)
{
	int fd = -1;

	if (log_prepare(path, &fd, err) != 0)
		return -1;
	log_use(fd, level, json);
	return 0;
}

int log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

void log_max_rate(unsigned per_second)
{
	atomic_store(&log_state.rate, per_second);
}

static void log_write(const struct log_line *line)
{
	int fd = atomic_load(&log_state.fd);
	struct pollfd room = {.fd = fd, .events = POLLOUT};

	if (!atomic_load_explicit(&log_state.may_block, memory_order_relaxed)) {
		(void)!write(fd, line->p, line->n);
		return;
	}
	/* A pipe that is writable has room for PIPE_BUF bytes, and no line is longer. */
	pthread_mutex_lock(&log_state.pipe_lock);
	if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0)
		(void)!write(fd, line->p, line->n);
	pthread_mutex_unlock(&log_state.pipe_lock);
}

static void log_emit(enum log_level level, const struct timespec *now, const struct log_who *who,
		     const char *event, const struct log_field *fields, unsigned nfields)
{
	struct log_line line;

	log_line_start(&line, atomic_load_explicit(&log_state.json, memory_order_relaxed));
	log_line_head(&line, level, now, who, event);
	for (unsigned i = 0; i < nfields; i++)
		log_line_field(&line, &fields[i]);
	log_line_end(&line);
	log_write(&line);
}

/* Called with the lock held when a second has passed, or at the end. */
static void log_report_left_out(const struct timespec *now)
{
	struct log_slot *slot;

	for (slot = log_state.slots; slot < log_state.slots + LOG_SLOTS; slot++) {
		struct log_field fields[] = {F_STR("event", slot->event), F_INT("count", slot->left_out)};

		if (slot->left_out != 0)
			log_emit(slot->level, now, NULL, "log lines left out", fields, 2);
		memset(slot, 0, sizeof *slot);
	}
}

static uint64_t log_event_key(const char *event)
{
	uint64_t key = 14695981039346656037u; /* FNV-1a */

	for (; *event != '\0'; event++)
		key = (key ^ (unsigned char)*event) * 1099511628211u;
	return key == 0 ? 1 : key;
}

static struct log_slot *log_slot_of(enum log_level level, const char *event)
{
	uint64_t key = log_event_key(event);
	struct log_slot *slot;
	size_t n = strlen(event);

	for (unsigned i = 0; i < 8; i++) {
		slot = &log_state.slots[(key + i) % LOG_SLOTS];
		if (slot->key == key)
			return slot;
		if (slot->key != 0)
			continue;
		slot->key = key;
		slot->level = level;
		if (n >= sizeof slot->event)
			n = sizeof slot->event - 1;
		memcpy(slot->event, event, n);
		return slot;
	}
	return NULL;
}

static int log_allowed(enum log_level level, const struct timespec *now, const char *event)
{
	unsigned rate = atomic_load_explicit(&log_state.rate, memory_order_relaxed);
	struct log_slot *slot;
	int allowed = 1;

	if (rate == 0 || level == LOG_LEVEL_DEBUG)
		return 1;
	pthread_mutex_lock(&log_state.lock);
	if (log_state.second != now->tv_sec) {
		log_report_left_out(now);
		log_state.second = now->tv_sec;
	}
	slot = log_slot_of(level, event);
	if (slot != NULL && slot->n++ >= rate) {
		slot->left_out++;
		allowed = 0;
	}
	pthread_mutex_unlock(&log_state.lock);
	return allowed;
}

void log_event(enum log_level level, const struct log_who *who, const char *event,
	       const struct log_field *fields, unsigned nfields)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (log_allowed(level, &now, event))
		log_emit(level, &now, who, event, fields, nfields);
}

void log_close(void)
{
	int ours;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&log_state.lock);
	log_report_left_out(&now);
	pthread_mutex_unlock(&log_state.lock);
	ours = atomic_exchange(&log_state.fd, STDERR_FILENO);
	atomic_store(&log_state.may_block, 1);
	if (ours != STDERR_FILENO)
		close(ours);
}
