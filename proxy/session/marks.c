#include "proxy/session/marks.h"

#include "proxy/base/check.h"

#include <stdlib.h>

struct row_mark {
	uint64_t key;
	uint32_t relid, place;
	bool shown;
};

struct relation_mark {
	uint32_t relid, place;
};

struct place {
	struct snapshot snapshot; /* owned */
	bool answered;
};

struct marks {
	struct row_mark *row; /* owned */
	unsigned nrows, room;
	struct relation_mark relation[MARKS_RELATIONS];
	unsigned nrelations;
	uint32_t all, locked;
	struct place *place[MARKS_SNAPSHOTS]; /* owned */
	uint32_t nplaces;
};

struct marks *marks_new(void)
{
	struct marks *m = check_alloc(sizeof(*m));

	m->all = m->locked = MARKS_NONE;
	return m;
}

void marks_free(struct marks **mp)
{
	struct marks *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	for (uint32_t i = 0; i < m->nplaces; i++) {
		snapshot_free(&m->place[i]->snapshot);
		free(m->place[i]);
	}
	free(m->row);
	free(m);
}

/* --- snapshots --- */

static uint32_t last_answered(struct marks *m)
{
	uint32_t i = m->nplaces - 1;

	while (i > 0 && !m->place[i]->answered)
		i--;
	m->place[i]->answered = true; /* else one that shows nothing completed */
	return i;
}

uint32_t marks_place(struct marks *m)
{
	/* One that is there serves all that come later: it is older than they are. */
	if (m->nplaces == MARKS_SNAPSHOTS)
		return last_answered(m);
	m->place[m->nplaces] = check_alloc(sizeof(struct place));
	return m->nplaces++;
}

void marks_answer(struct marks *m, uint32_t place, struct snapshot *s)
{
	if (place >= m->nplaces || m->place[place]->answered) {
		snapshot_free(s);
		return;
	}
	m->place[place]->snapshot = *s;
	m->place[place]->answered = true;
	*s = (struct snapshot){0};
}

uint32_t marks_place_now(struct marks *m, const struct snapshot *s)
{
	uint32_t place = marks_place(m);
	struct snapshot copy;

	/* Without memory it shows nothing completed: everything has changed since. */
	if (snapshot_copy(s, &copy) != 0)
		copy = (struct snapshot){0};
	marks_answer(m, place, &copy);
	return place;
}

const struct snapshot *marks_snapshot(const struct marks *m, uint32_t place)
{
	/* A read that was skipped was none; what has the same mark and was read later has one of the next. */
	for (; place < m->nplaces; place++)
		if (m->place[place]->answered)
			return &m->place[place]->snapshot;
	return NULL;
}

/* --- marks --- */

static uint32_t older(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static struct row_mark *find(const struct marks *m, uint32_t relid, uint64_t key)
{
	for (unsigned i = 0; i < m->nrows; i++)
		if (m->row[i].key == key && m->row[i].relid == relid)
			return &m->row[i];
	return NULL;
}

void marks_row(struct marks *m, uint32_t relid, uint64_t key, uint32_t place)
{
	struct row_mark *row = find(m, relid, key);

	if (row != NULL) {
		row->place = older(row->place, place);
		return;
	}
	if (m->nrows == MARKS_ROWS) {
		marks_relation(m, relid, place);
		return;
	}
	if (m->nrows == m->room) {
		m->room = m->room == 0 ? 8 : m->room * 2;
		m->row = realloc(m->row, m->room * sizeof(*m->row));
		check(m->row != NULL);
	}
	m->row[m->nrows++] = (struct row_mark){.key = key, .relid = relid, .place = place};
}

void marks_relation(struct marks *m, uint32_t relid, uint32_t place)
{
	for (unsigned i = 0; i < m->nrelations; i++)
		if (m->relation[i].relid == relid) {
			m->relation[i].place = older(m->relation[i].place, place);
			return;
		}
	if (m->nrelations == MARKS_RELATIONS)
		marks_all(m, place);
	else
		m->relation[m->nrelations++] = (struct relation_mark){.relid = relid, .place = place};
}

void marks_all(struct marks *m, uint32_t place)
{
	m->all = older(m->all, place);
}

void marks_shown(struct marks *m, uint32_t place)
{
	for (unsigned i = 0; i < m->nrows; i++)
		if (m->row[i].place == place)
			m->row[i].shown = true;
}

void marks_locked(struct marks *m, uint32_t place)
{
	m->locked = older(m->locked, place);
}

bool marks_locks(const struct marks *m)
{
	return m->locked != MARKS_NONE;
}

void marks_unlocked(struct marks *m)
{
	marks_all(m, m->locked);
}

uint32_t marks_find_row(const struct marks *m, uint32_t relid, uint64_t key, bool *shown_r)
{
	const struct row_mark *row = find(m, relid, key);
	uint32_t place = m->all;

	for (unsigned i = 0; i < m->nrelations; i++)
		if (m->relation[i].relid == relid)
			place = older(place, m->relation[i].place);
	*shown_r = row != NULL && row->shown;
	return row != NULL ? older(place, row->place) : place;
}

uint32_t marks_find_any(const struct marks *m, uint32_t relid)
{
	uint32_t place = m->all;

	for (unsigned i = 0; i < m->nrelations; i++)
		if (relid == 0 || m->relation[i].relid == relid)
			place = older(place, m->relation[i].place);
	for (unsigned i = 0; i < m->nrows; i++)
		if (relid == 0 || m->row[i].relid == relid)
			place = older(place, m->row[i].place);
	return place;
}
