// lib/pq under database/sql: the unnamed statement lives across a Sync, pings are `;`, a Listener of its own.
package main

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/lib/pq"
	. "pgweir.test/steps"
)

var ctx = context.Background()
var conns []*sql.Conn
var db *sql.DB

type runner interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func fails(state string, err error) {
	var found *pq.Error
	Check(errors.As(err, &found) && string(found.Code) == state, state, err)
}

func exec(on runner, text string, args ...any) int64 {
	result, err := on.ExecContext(ctx, text, args...)
	Must(err)
	n, _ := result.RowsAffected()
	return n
}

func name(on runner, row int) (found string) {
	err := on.QueryRowContext(ctx, "SELECT name FROM item WHERE id = $1", row).Scan(&found)
	if err == sql.ErrNoRows {
		return "-"
	}
	Must(err)
	return
}

func connect() {
	var err error
	db, err = sql.Open("postgres", URL+"?sslmode=disable")
	Must(err)
	for range Zones {
		conn, err := db.Conn(ctx)
		Must(err)
		Must(conn.PingContext(ctx))
		conns = append(conns, conn)
	}
}

func settings() {
	for i, conn := range conns {
		exec(conn, "SET TimeZone TO '"+Zones[i]+"'")
	}
	for turn := 0; turn < 3; turn++ {
		for i, conn := range conns {
			var zone, digits string
			Must(conn.QueryRowContext(ctx, "SHOW TimeZone").Scan(&zone))
			Must(conn.QueryRowContext(ctx, "SHOW extra_float_digits").Scan(&digits))
			Check(zone == Zones[i] && digits == "2", zone, digits)
		}
	}
}

func crud() {
	for _, conn := range conns {
		for _, text := range []string{"it's \\ ü", Long} {
			var row int
			var n sql.NullInt64
			var got string
			Must(conn.QueryRowContext(ctx, "INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id", text, nil).Scan(&row))
			Must(conn.QueryRowContext(ctx, "SELECT name, n FROM item WHERE id = $1", row).Scan(&got, &n))
			Check(got == text && !n.Valid, "read")
			Check(exec(conn, "UPDATE item SET name = $1 WHERE id = $2", "new", row) == 1, "update")
			Check(name(conn, row) == "new", "updated")
			Check(exec(conn, "DELETE FROM item WHERE id = $1", row) == 1, "delete")
			Check(name(conn, row) == "-", "deleted")
		}
	}
	var n int
	Must(conns[0].QueryRowContext(ctx, "SELECT count(*) FROM item WHERE id = any($1)", pq.Array([]int{1, 2, 9999})).Scan(&n))
	Check(n == 2, "any")
}

func transactions() {
	tx, err := conns[0].BeginTx(ctx, nil)
	Must(err)
	exec(tx, "INSERT INTO item (id, name) VALUES (600, 'a')")
	Check(name(conns[1], 600) == "-", "not yet")
	exec(tx, "SAVEPOINT s")
	exec(tx, "UPDATE item SET name = 'b' WHERE id = 600")
	exec(tx, "ROLLBACK TO s")
	Must(tx.Commit())
	Check(name(conns[1], 600) == "a", "committed")
	tx, err = conns[0].BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	Must(err)
	exec(tx, "DELETE FROM item WHERE id = 600")
	Must(tx.Rollback())
	Check(name(conns[1], 600) == "a", "rolled back")
	tx, err = conns[0].BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	Must(err)
	_, err = tx.ExecContext(ctx, "DELETE FROM item")
	fails("25006", err)
	Must(tx.Rollback())
}

func prepared() {
	made := make([]*sql.Stmt, len(conns))
	for i, conn := range conns {
		var err error
		made[i], err = conn.PrepareContext(ctx, "SELECT $1::int + "+strconv.Itoa(i))
		Must(err)
	}
	for turn := 0; turn < 8; turn++ {
		for i, one := range made {
			var sum int
			Must(one.QueryRowContext(ctx, turn).Scan(&sum))
			Check(sum == turn+i, "another's statement", sum)
		}
	}
	for _, one := range made {
		Must(one.Close())
	}
}

func errs() {
	for _, conn := range conns {
		for _, one := range [][2]string{{"23505", "INSERT INTO item (id, name) VALUES (1, 'twice')"}, {"42P01", "SELECT * FROM nope"}, {"22012", "SELECT 1/0"}} {
			_, err := conn.ExecContext(ctx, one[1])
			fails(one[0], err)
		}
		tx, err := conn.BeginTx(ctx, nil)
		Must(err)
		_, err = tx.ExecContext(ctx, "SELECT 1 / $1::int", 0)
		fails("22012", err)
		_, err = tx.ExecContext(ctx, "SELECT 1")
		fails("25P02", err)
		Must(tx.Rollback())
		Check(name(conn, 1) == "item 1", "lives on")
	}
}

func timeout() {
	exec(conns[0], "SET statement_timeout = 100")
	_, err := conns[0].ExecContext(ctx, "SELECT pg_sleep(30)")
	fails("57014", err)
	exec(conns[0], "RESET statement_timeout")
}

func cancel() {
	conn, err := db.Conn(ctx) // lib/pq gives it up then
	Must(err)
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	_, err = conn.ExecContext(short, "SELECT pg_sleep(30)")
	end()
	fails("57014", err)
	conn.Close()
	Check(name(conns[0], 1) == "item 1", "lives on")
}

func copies() {
	tx, err := conns[2].BeginTx(ctx, nil)
	Must(err)
	in, err := tx.Prepare(pq.CopyIn("item", "id", "name"))
	Must(err)
	for i := 10000; i < 15000; i++ {
		_, err = in.Exec(i, "copied")
		Must(err)
	}
	_, err = in.Exec()
	Must(err)
	Must(in.Close())
	var n int
	Must(tx.QueryRow("SELECT count(*) FROM item WHERE name = 'copied'").Scan(&n))
	Check(n == 5000, n)
	bad, err := tx.Prepare(pq.CopyIn("item", "id", "name"))
	Must(err)
	_, err = bad.Exec("x", "y")
	if err == nil {
		_, err = bad.Exec()
	}
	fails("22P02", err)
	Must(tx.Rollback())
	Check(name(conns[2], 1) == "item 1", "lives on")
}

func listen() {
	listener := pq.NewListener(URL+"?sslmode=disable", time.Second, time.Minute, nil)
	Must(listener.Listen("channel"))
	exec(conns[1], "NOTIFY channel, 'hello'")
	select {
	case heard := <-listener.Notify:
		Check(heard != nil && heard.Extra == "hello", heard)
	case <-time.After(20 * time.Second):
		Check(false, "nothing was heard")
	}
	Must(listener.Close())
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
