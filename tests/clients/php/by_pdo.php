<?php
// PDO: pdo_stmt_00000001 on every connection, emulated prepares on the last two, LISTEN and COPY of its own.
require __DIR__ . '/steps.php';
$conns = array_map(fn ($i) => new PDO('pgsql:' . DSN, null, null, [PDO::ATTR_EMULATE_PREPARES => $i > 1]), array_keys(ZONES));

function run(PDO $conn, string $sql, array $args = []): PDOStatement {
	$statement = $conn->prepare($sql);
	$statement->execute($args);
	return $statement;
}

function name(PDO $conn, int $row) {
	$found = run($conn, 'SELECT name FROM item WHERE id = ?', [$row])->fetchColumn();
	return $found === false ? '-' : $found;
}

function fails(string $state, callable $call): void {
	try {
		$call();
	} catch (PDOException $error) {
		check($error->getCode() === $state || $error->errorInfo[0] === $state, "$state: " . $error->getMessage());
		return;
	}
	throw new Exception("no error $state");
}

steps([
	'connect' => function () use ($conns) {
		foreach ($conns as $conn) check(run($conn, 'SELECT 1')->fetchColumn() == 1);
	},
	'settings' => function () use ($conns) {
		foreach ($conns as $i => $conn) $conn->exec("SET TimeZone TO '" . ZONES[$i] . "'");
		for ($turn = 0; $turn < 3; $turn++) {
			foreach ($conns as $i => $conn) check($conn->query('SHOW TimeZone')->fetchColumn() === ZONES[$i]);
		}
	},
	'crud' => function () use ($conns) {
		foreach ($conns as $conn) {
			foreach (["it's \\ ü", LONG] as $text) {
				$conn->beginTransaction();
				run($conn, 'INSERT INTO item (name, n) VALUES (:name, :n)', ['name' => $text, 'n' => null]);
				$row = (int)$conn->lastInsertId(); // lastval(): of this transaction, see docs/isolation.md
				$conn->commit();
				check(run($conn, 'SELECT name, n FROM item WHERE id = ?', [$row])->fetch(PDO::FETCH_NUM) === [$text, null], 'read');
				check(run($conn, 'UPDATE item SET name = ? WHERE id = ?', ['new', $row])->rowCount() === 1);
				check(name($conn, $row) === 'new');
				check(run($conn, 'DELETE FROM item WHERE id = ?', [$row])->rowCount() === 1);
				check(name($conn, $row) === '-');
			}
		}
		$scroll = $conns[0]->prepare('SELECT i FROM generate_series(1, 100) i', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]); // WITH HOLD
		$scroll->execute();
		check($scroll->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 50)[0] == 50);
		check($scroll->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR)[0] == 49);
		$scroll = null;
	},
	'transactions' => function () use ($conns) {
		[$one, $two] = $conns;
		$one->beginTransaction();
		$one->exec("INSERT INTO item (id, name) VALUES (600, 'a')");
		check(name($two, 600) === '-', 'not yet');
		$one->exec('SAVEPOINT s');
		$one->exec("UPDATE item SET name = 'b' WHERE id = 600");
		$one->exec('ROLLBACK TO s');
		$one->commit();
		check(name($two, 600) === 'a', 'committed');
		$one->beginTransaction();
		$one->exec('DELETE FROM item WHERE id = 600');
		$one->rollBack();
		check(name($two, 600) === 'a', 'rolled back');
	},
	'prepared' => function () use ($conns) {
		$made = array_map(fn ($i) => $conns[$i]->prepare("SELECT CAST(? AS int) + $i"), array_keys($conns));
		for ($turn = 0; $turn < 8; $turn++) {
			foreach ($made as $i => $statement) {
				$statement->execute([$turn]);
				check($statement->fetchColumn() == $turn + $i, "another's statement");
			}
		}
	},
	'errors' => function () use ($conns) {
		foreach ($conns as $conn) {
			foreach (['23505' => "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01' => 'SELECT * FROM nope', '22012' => 'SELECT 1/0'] as $state => $sql) {
				fails((string)$state, fn () => $conn->exec($sql));
				fails((string)$state, fn () => run($conn, $sql));
			}
			$conn->beginTransaction();
			fails('22012', fn () => run($conn, 'SELECT 1 / CAST(? AS int)', [0]));
			fails('25P02', fn () => run($conn, 'SELECT 1'));
			$conn->rollBack();
			check(name($conn, 1) === 'item 1');
		}
	},
	'timeout' => function () use ($conns) {
		$conns[0]->exec('SET statement_timeout = 100');
		fails('57014', fn () => $conns[0]->exec('SELECT pg_sleep(30)'));
		check($conns[1]->query('SHOW statement_timeout')->fetchColumn() === '0');
		$conns[0]->exec('RESET statement_timeout');
	},
	'copy' => function () use ($conns) {
		check($conns[2]->pgsqlCopyFromArray('item', array_map(fn ($i) => "$i\tcopied", range(10000, 14999)), "\t", '\\\\N', 'id, name'));
		check(count(array_filter($conns[2]->pgsqlCopyToArray('item', "\t", '\\\\N', 'name'), fn ($name) => trim($name) === 'copied')) === 5000);
		fails('22P02', fn () => $conns[2]->pgsqlCopyFromArray('item', ["x\ty"], "\t", '\\\\N', 'id, name'));
		$conns[2]->exec('DELETE FROM item WHERE id >= 10000');
	},
	'listen' => function () use ($conns) {
		$conns[0]->exec('LISTEN channel');
		$conns[1]->exec("NOTIFY channel, 'hello'");
		check($conns[0]->pgsqlGetNotify(PDO::FETCH_ASSOC, 20000)['payload'] === 'hello');
		$conns[0]->exec('UNLISTEN *');
	},
]);
serve(fn ($conn, $row) => name($conns[$conn], $row),
	fn ($conn, $row, $name) => run($conns[$conn], 'UPDATE item SET name = ? WHERE id = ?', [$name, $row]));
