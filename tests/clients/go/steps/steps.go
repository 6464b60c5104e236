// Package steps is what the Go clients share: they run their steps, then serve reads and writes. See test_clients.py.
package steps

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// Zones has a TimeZone for each connection.
var Zones = []string{"UTC", "Europe/Berlin", "Asia/Tokyo", "America/Lima"}

// Long is 300 kB.
var Long = strings.Repeat("ü", 150000)

// URL of the database.
var URL = os.Getenv("DATABASE_URL")

// Must ends the program on an error.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		debug.PrintStack()
		os.Exit(1)
	}
}

// Check ends the program when it does not hold.
func Check(holds bool, what ...any) {
	if !holds {
		Must(fmt.Errorf("not so: %v", what))
	}
}

// Ok says that a step is done.
func Ok(step string) { fmt.Println("ok " + step) }

// Serve reads and writes rows until standard input ends.
func Serve(get func(conn, row int) string, put func(conn, row int, name string)) {
	fmt.Println("serve")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var word, name string
		var conn, row int
		fmt.Sscan(in.Text(), &word, &conn, &row, &name)
		if word == "get" {
			fmt.Println(get(conn, row))
		} else {
			put(conn, row, name)
			fmt.Println("done")
		}
	}
}
