<?php
// PHP's pgsql extension.
require __DIR__ . '/steps.php';
$conns = array_map(fn () => pg_connect(DSN, PGSQL_CONNECT_FORCE_NEW), ZONES);

// The result, or the SQLSTATE that it failed with.
function state($conn, string $sql, ?array $args = null): string {
	$args === null ? pg_send_query($conn, $sql) : pg_send_query_params($conn, $sql, $args);
	$state = '';
	while ($result = pg_get_result($conn)) $state = (string)pg_result_error_field($result, PGSQL_DIAG_SQLSTATE);
	return $state;
}

function value($conn, string $sql, array $args = []) {
	$row = pg_fetch_row(pg_query_params($conn, $sql, $args));
	return $row ? $row[0] : '-';
}

function name($conn, $row) {
	return value($conn, 'SELECT name FROM item WHERE id = $1', [$row]);
}

steps([
	'connect' => function () use ($conns) {
		foreach ($conns as $conn) check(pg_ping($conn) && value($conn, 'SELECT 1') == 1);
	},
	'settings' => function () use ($conns) {
		foreach ($conns as $i => $conn) pg_query($conn, "SET TimeZone TO '" . ZONES[$i] . "'");
		for ($turn = 0; $turn < 3; $turn++) {
			foreach ($conns as $i => $conn) {
				check(value($conn, 'SHOW TimeZone') === ZONES[$i], ZONES[$i]);
				check(pg_parameter_status($conn, 'TimeZone') === ZONES[$i], 'reported');
			}
		}
	},
	'crud' => function () use ($conns) {
		foreach ($conns as $conn) {
			foreach (["it's \\ ü", LONG] as $text) {
				$row = value($conn, 'INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id', [$text, null]);
				check(pg_fetch_row(pg_query_params($conn, 'SELECT name, n FROM item WHERE id = $1', [$row])) === [$text, null], 'read');
				check(pg_affected_rows(pg_query_params($conn, 'UPDATE item SET name = $1 WHERE id = $2', ['new', $row])) === 1);
				check(pg_fetch_row(pg_query($conn, "SELECT name FROM item WHERE id = $row")) === ['new']);
				check(pg_affected_rows(pg_query_params($conn, 'DELETE FROM item WHERE id = $1', [$row])) === 1);
				check(name($conn, $row) === '-');
			}
		}
		pg_insert($conns[0], 'item', ['id' => 500, 'name' => 'v']);
		check(pg_select($conns[1], 'item', ['id' => 500])[0]['name'] === 'v', 'by its helpers, which read the catalog');
	},
	'transactions' => function () use ($conns) {
		[$one, $two] = $conns;
		pg_query($one, 'BEGIN');
		pg_query($one, "INSERT INTO item (id, name) VALUES (600, 'a')");
		check(name($two, 600) === '-', 'not yet');
		pg_query($one, 'SAVEPOINT s');
		pg_query($one, "UPDATE item SET name = 'b' WHERE id = 600");
		pg_query($one, 'ROLLBACK TO s');
		pg_query($one, 'COMMIT');
		check(name($two, 600) === 'a', 'committed');
		pg_query($one, 'BEGIN');
		pg_query($one, 'DELETE FROM item WHERE id = 600');
		pg_query($one, 'ROLLBACK');
		check(name($two, 600) === 'a', 'rolled back');
	},
	'prepared' => function () use ($conns) {
		foreach ($conns as $i => $conn) pg_prepare($conn, 'mine', "SELECT \$1::int + $i");
		for ($turn = 0; $turn < 8; $turn++) {
			foreach ($conns as $i => $conn) check(pg_fetch_row(pg_execute($conn, 'mine', [$turn]))[0] == $turn + $i);
		}
	},
	'errors' => function () use ($conns) {
		foreach ($conns as $conn) {
			foreach (['23505' => "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01' => 'SELECT * FROM nope', '22012' => 'SELECT 1/0'] as $state => $sql) {
				check(state($conn, $sql) === (string)$state, $state);
				check(state($conn, $sql, []) === (string)$state, $state);
			}
			pg_query($conn, 'BEGIN');
			check(state($conn, 'SELECT 1 / $1::int', [0]) === '22012');
			check(state($conn, 'SELECT 1') === '25P02');
			pg_query($conn, 'ROLLBACK');
			check(name($conn, 1) === 'item 1');
		}
	},
	'timeout' => function () use ($conns) {
		pg_query($conns[0], 'SET statement_timeout = 100');
		check(state($conns[0], 'SELECT pg_sleep(30)') === '57014');
		check(value($conns[1], 'SHOW statement_timeout') === '0');
		pg_query($conns[0], 'RESET statement_timeout');
	},
	'cancel' => function () use ($conns) {
		pg_send_query($conns[0], 'SELECT pg_sleep(30)');
		// A request that comes before the query has begun is in vain, with PostgreSQL itself as well.
		$running = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep.30' AND wait_event = 'PgSleep'";
		while (value($conns[1], $running) == 0);
		check(pg_cancel_query($conns[0]), 'cancelled'); // it throws the answer away
		check(name($conns[0], 1) === 'item 1');
	},
	'copy' => function () use ($conns) {
		check(pg_copy_from($conns[2], 'item (id, name)', array_map(fn ($i) => "$i\tcopied\n", range(10000, 14999))));
		check(count(pg_copy_to($conns[2], '(SELECT id FROM item WHERE id >= 10000)')) === 5000);
		check(@pg_copy_from($conns[2], 'item (id, name)', ["x\ty\n"]) === false);
		check(str_contains(pg_last_error($conns[2]), 'invalid input syntax'), pg_last_error($conns[2]));
		pg_query($conns[2], 'DELETE FROM item WHERE id >= 10000');
	},
	'listen' => function () use ($conns) {
		pg_query($conns[0], 'LISTEN channel');
		pg_query($conns[1], "NOTIFY channel, 'hello'");
		for ($end = time() + 20; !($heard = pg_get_notify($conns[0])); ) {
			check(time() < $end, 'nothing was heard');
			$in = [pg_socket($conns[0])];
			$none = null;
			stream_select($in, $none, $none, 1);
		}
		check($heard['payload'] === 'hello');
		pg_query($conns[0], 'UNLISTEN *');
	},
]);
serve(fn ($conn, $row) => name($conns[$conn], $row),
	fn ($conn, $row, $name) => pg_query_params($conns[$conn], 'UPDATE item SET name = $1 WHERE id = $2', [$name, $row]));
