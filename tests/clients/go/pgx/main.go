// pgx 4: named statements, formats per column, batches, and its copy and notifications.
package main

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	. "pgweir.test/steps"
)

var ctx = context.Background()
var conns []*pgx.Conn

func fails(state string, err error) {
	var found *pgconn.PgError
	Check(errors.As(err, &found) && found.Code == state, state, err)
}

func exec(conn *pgx.Conn, sql string, args ...any) int64 {
	tag, err := conn.Exec(ctx, sql, args...)
	Must(err)
	return tag.RowsAffected()
}

func name(conn *pgx.Conn, row int) (found string) {
	err := conn.QueryRow(ctx, "SELECT name FROM item WHERE id = $1", row).Scan(&found)
	if err == pgx.ErrNoRows {
		return "-"
	}
	Must(err)
	return
}

func connect() {
	for range Zones {
		conn, err := pgx.Connect(ctx, URL)
		Must(err)
		Must(conn.Ping(ctx))
		conns = append(conns, conn)
	}
	pool, err := pgxpool.Connect(ctx, URL+"?pool_max_conns=8")
	Must(err)
	done := make(chan error)
	for i := 0; i < 50; i++ {
		go func(i int) {
			var n int
			err := pool.QueryRow(ctx, "SELECT $1::int", i).Scan(&n)
			if err == nil && n != i {
				err = errors.New("another's answer")
			}
			done <- err
		}(i)
	}
	for i := 0; i < 50; i++ {
		Must(<-done)
	}
	pool.Close()
}

func settings() {
	for i, conn := range conns {
		exec(conn, "SET TimeZone TO '"+Zones[i]+"'")
	}
	for turn := 0; turn < 3; turn++ {
		for i, conn := range conns {
			var zone string
			Must(conn.QueryRow(ctx, "SHOW TimeZone").Scan(&zone))
			Check(zone == Zones[i], zone)
			Check(conn.PgConn().ParameterStatus("TimeZone") == Zones[i], "reported")
		}
	}
}

func crud() {
	for _, simple := range []bool{false, true} {
		for _, conn := range conns {
			for _, text := range []string{"it's \\ ü", Long} {
				var row int
				var n *int
				var got string
				Must(conn.QueryRow(ctx, "INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id",
					pgx.QuerySimpleProtocol(simple), text, nil).Scan(&row))
				Must(conn.QueryRow(ctx, "SELECT name, n FROM item WHERE id = $1", pgx.QuerySimpleProtocol(simple), row).Scan(&got, &n))
				Check(got == text && n == nil, "read")
				Check(exec(conn, "UPDATE item SET name = $1 WHERE id = $2", pgx.QuerySimpleProtocol(simple), "new", row) == 1, "update")
				Check(name(conn, row) == "new", "updated")
				Check(exec(conn, "DELETE FROM item WHERE id = $1", pgx.QuerySimpleProtocol(simple), row) == 1, "delete")
				Check(name(conn, row) == "-", "deleted")
			}
		}
	}
	batch := &pgx.Batch{}
	for i := 500; i < 520; i++ {
		batch.Queue("INSERT INTO item (id, name) VALUES ($1, 'v')", i)
	}
	batch.Queue("SELECT count(*) FROM item WHERE name = 'v'")
	answers := conns[0].SendBatch(ctx, batch)
	for i := 500; i < 520; i++ {
		_, err := answers.Exec()
		Must(err)
	}
	var n int
	Must(answers.QueryRow().Scan(&n))
	Check(n == 20, "a batch sees its own writes", n)
	Must(answers.Close())
	Must(conns[1].QueryRow(ctx, "SELECT count(*) FROM item WHERE id = any($1)", []int{500, 501, 9999}).Scan(&n))
	Check(n == 2, "any")
}

func transactions() {
	one, two := conns[0], conns[1]
	tx, err := one.Begin(ctx)
	Must(err)
	exec(one, "INSERT INTO item (id, name) VALUES (600, 'a')")
	Check(name(two, 600) == "-", "not yet")
	inner, err := tx.Begin(ctx)
	Must(err)
	exec(one, "UPDATE item SET name = 'b' WHERE id = 600")
	Must(inner.Rollback(ctx))
	Must(tx.Commit(ctx))
	Check(name(two, 600) == "a", "committed")
	tx, err = one.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	Must(err)
	exec(one, "DELETE FROM item WHERE id = 600")
	Must(tx.Rollback(ctx))
	Check(name(two, 600) == "a", "rolled back")
}

func prepared() {
	for i, conn := range conns {
		_, err := conn.Prepare(ctx, "mine", "SELECT $1::int + "+strconv.Itoa(i))
		Must(err)
	}
	for turn := 0; turn < 8; turn++ {
		for i, conn := range conns {
			var sum int
			Must(conn.QueryRow(ctx, "mine", turn).Scan(&sum))
			Check(sum == turn+i, "another's statement", sum)
		}
	}
	Must(conns[0].Deallocate(ctx, "mine"))
	_, err := conns[0].Exec(ctx, "EXECUTE mine(1)")
	fails("26000", err)
}

func errs() {
	for _, conn := range conns {
		for _, one := range [][2]string{{"23505", "INSERT INTO item (id, name) VALUES (1, 'twice')"}, {"42P01", "SELECT * FROM nope"}, {"22012", "SELECT 1/0"}} {
			_, err := conn.Exec(ctx, one[1])
			fails(one[0], err)
		}
		tx, err := conn.Begin(ctx)
		Must(err)
		_, err = conn.Exec(ctx, "SELECT 1 / $1::int", 0)
		fails("22012", err)
		_, err = conn.Exec(ctx, "SELECT 1")
		fails("25P02", err)
		Must(tx.Rollback(ctx))
		Check(name(conn, 1) == "item 1", "lives on")
	}
}

func timeout() {
	exec(conns[0], "SET statement_timeout = 100")
	_, err := conns[0].Exec(ctx, "SELECT pg_sleep(30)")
	fails("57014", err)
	exec(conns[0], "RESET statement_timeout")
}

// A context that ends costs pgx its connection; the request itself can be sent by hand.
func cancel() {
	stop := time.AfterFunc(100*time.Millisecond, func() { Must(conns[0].PgConn().CancelRequest(ctx)) })
	_, err := conns[0].Exec(ctx, "SELECT pg_sleep(30)")
	fails("57014", err)
	stop.Stop()
	conn, err := pgx.Connect(ctx, URL)
	Must(err)
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	_, err = conn.Exec(short, "SELECT pg_sleep(30)")
	end()
	Check(errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err), err)
	Check(conn.IsClosed(), "closed")
	Check(name(conns[0], 1) == "item 1", "lives on")
}

func copies() {
	conn := conns[2]
	rows := make([][]any, 5000)
	for i := range rows {
		rows[i] = []any{10000 + i, "copied"}
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"item"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
	Must(err)
	Check(n == 5000, "in")
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id FROM item WHERE id >= 10000) TO STDOUT")
	Must(err)
	Check(strings.Count(out.String(), "\n") == 5000, "out")
	_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader("x\ty\n"), "COPY item (id, name) FROM STDIN")
	fails("22P02", err)
	exec(conn, "DELETE FROM item WHERE id >= 10000")
}

func listen() {
	exec(conns[0], "LISTEN channel")
	exec(conns[1], "SELECT pg_notify('channel', 'hello')")
	limit, end := context.WithTimeout(ctx, 20*time.Second)
	defer end()
	heard, err := conns[0].WaitForNotification(limit)
	Must(err)
	Check(heard.Payload == "hello", heard.Payload)
	exec(conns[0], "UNLISTEN *")
}

func main() {
	for _, step := range []struct {
		name string
		run  func()
	}{{"connect", connect}, {"settings", settings}, {"crud", crud}, {"transactions", transactions}, {"prepared", prepared},
		{"errors", errs}, {"timeout", timeout}, {"cancel", cancel}, {"copy", copies}, {"listen", listen}} {
		step.run()
		Ok(step.name)
	}
	Serve(func(conn, row int) string { return name(conns[conn], row) }, func(conn, row int, text string) {
		exec(conns[conn], "UPDATE item SET name = $1 WHERE id = $2", text, row)
	})
}
