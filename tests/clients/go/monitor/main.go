// The console as two monitoring programs read it, by the same drivers in the same modes: Telegraf's input (pgx through
// database/sql, simple protocol: whatever is text among the columns of SHOW STATS must be a number, SHOW LISTS has two columns) and
// Prometheus' pgbouncer_exporter (lib/pq, no parameters). See test_monitors.py.
package main

import (
	"database/sql"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/stdlib"
	_ "github.com/lib/pq"
	. "pgweir.test/steps"
)

// each calls fn with every row of a SHOW command, by column.
func each(db *sql.DB, command string, fn func(row map[string]any)) int {
	rows, err := db.Query(command)
	Must(err)
	defer rows.Close()
	names, err := rows.Columns()
	Must(err)
	found := 0
	for ; rows.Next(); found++ {
		values, at := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			at[i] = &values[i]
		}
		Must(rows.Scan(at...))
		row := map[string]any{}
		for i, name := range names {
			row[name] = values[i]
		}
		fn(row)
	}
	Must(rows.Err())
	return found
}

// number is what the exporter makes a float of.
func number(value any, what string) float64 {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case []byte:
		n, err := strconv.ParseFloat(string(v), 64)
		Must(err)
		return n
	case string:
		n, err := strconv.ParseFloat(v, 64)
		Must(err)
		return n
	}
	Check(value == nil, what, fmt.Sprintf("%T", value))
	return 0
}

func telegraf() {
	config, err := pgx.ParseConfig(URL)
	Must(err)
	config.PreferSimpleProtocol = true
	db := stdlib.OpenDB(*config)
	defer db.Close()
	found := each(db, "SHOW STATS", func(row map[string]any) {
		_, ok := row["database"].(string)
		Check(ok, "database is text")
		for name, value := range row {
			if text, ok := value.(string); ok && name != "database" {
				_, err := strconv.ParseInt(text, 10, 64)
				Check(err == nil, name, text)
			}
		}
	})
	Check(found >= 2, "stats of", found)
	for _, command := range []string{"SHOW POOLS", "SHOW DATABASES"} {
		found = each(db, command, func(row map[string]any) {
			name, ok := row["database"].(string)
			Check(ok && name != "", command)
			if command == "SHOW POOLS" {
				for _, column := range []string{"cl_active", "cl_waiting", "maxwait", "maxwait_us", "sv_active", "sv_idle", "sv_login", "sv_tested", "sv_used"} {
					_, ok := row[column].(int64)
					Check(ok, column)
				}
			}
		})
		Check(found >= 2, command, found)
	}
	each(db, "SHOW LISTS", func(row map[string]any) {
		_, name := row["list"].(string)
		_, items := row["items"].(int64)
		Check(name && items && len(row) == 2, row)
	})
	Ok("telegraf")
}

func exporter() {
	db, err := sql.Open("postgres", URL)
	Must(err)
	defer db.Close()
	wanted := map[string][]string{
		"SHOW STATS_TOTALS;": {"query_count", "query_time", "bytes_received", "bytes_sent", "wait_time", "xact_count", "xact_time", "client_parse_count", "server_parse_count", "bind_count"},
		"SHOW POOLS;": {"cl_active", "cl_active_cancel_req", "cl_waiting", "cl_waiting_cancel_req", "sv_active", "sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait"},
		"SHOW DATABASES;": {"pool_size", "reserve_pool", "max_connections", "current_connections", "paused", "disabled"},
	}
	for command, columns := range wanted {
		found := each(db, command, func(row map[string]any) {
			for _, column := range columns {
				_, there := row[column]
				Check(there, command, column)
				number(row[column], column)
			}
		})
		Check(found >= 2, command, found)
	}
	lists, limits := map[string]float64{}, map[string]float64{}
	each(db, "SHOW LISTS;", func(row map[string]any) { lists[row["list"].(string)] = number(row["items"], "items") })
	for _, list := range []string{"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries"} {
		_, there := lists[list]
		Check(there, list)
	}
	each(db, "SHOW CONFIG;", func(row map[string]any) {
		Check(len(row) == 4, "columns of SHOW CONFIG")
		if key := row["key"].(string); key == "max_client_conn" || key == "max_user_connections" {
			limits[key] = number(row["value"], key)
		}
	})
	Check(len(limits) == 2 && limits["max_client_conn"] > 0, limits)
	each(db, "SHOW VERSION;", func(row map[string]any) { Check(row["version"].(string) != "", row) })
	Ok("exporter")
}

func main() {
	telegraf()
	exporter()
}
