<?php
// What the PHP clients share: they run their steps, then serve reads and writes. See test_clients.py.
const ZONES = ['UTC', 'Europe/Berlin', 'Asia/Tokyo', 'America/Lima'];
define('LONG', str_repeat('ü', 150000));
define('URL', parse_url(getenv('DATABASE_URL')) + ['database' => '']);
define('DSN', sprintf('host=%s port=%d dbname=%s user=%s', URL['host'], URL['port'], substr(URL['path'], 1), URL['user']));
set_error_handler(function ($level, $text, $file, $line) {
	if (error_reporting() & $level) throw new ErrorException($text, 0, $level, $file, $line);
});

function check($holds, $what = ''): void {
	if (!$holds) throw new Exception("not so: $what");
}

function steps(array $steps): void {
	foreach ($steps as $name => $step) {
		$step();
		echo "ok $name\n";
	}
}

function serve(callable $get, callable $put): void {
	echo "serve\n";
	while (($line = fgets(STDIN)) !== false) {
		[$word, $conn, $row, $name] = explode(' ', trim($line)) + [3 => ''];
		if ($word === 'get') {
			echo $get((int)$conn, (int)$row), "\n";
		} else {
			$put((int)$conn, (int)$row, $name);
			echo "done\n";
		}
	}
}
