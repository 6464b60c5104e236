# DBD::Pg: unnamed statements that get a name with their second use, its own copy, cancel and notifications.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use DBI;
use DBD::Pg;
use Steps;

my ($user, $host, $port, $database) = $ENV{DATABASE_URL} =~ m{//(\w+)@([\w.]+):(\d+)/(\w+)};
my @conns = map {
	DBI->connect("dbi:Pg:dbname=$database;host=$host;port=$port", $user, '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 })
} @ZONES;

sub fails {
	my ($state, $call) = @_;
	eval { $call->(); 1 } and die "no error $state at line " . (caller)[2] . "\n";
	check($DBI::state eq $state, "$DBI::state in place of $state: $@");
}

sub name {
	my ($conn, $row) = @_;
	return $conn->selectrow_array('SELECT name FROM item WHERE id = ?', undef, $row) // '-';
}

sub connected {
	check($_->ping && $_->selectrow_array('SELECT 1') == 1) for @conns;
}

sub settings {
	$conns[$_]->do("SET TimeZone TO '$ZONES[$_]'") for 0 .. 3;
	for (1 .. 3) {
		check($conns[$_]->selectrow_array('SHOW TimeZone') eq $ZONES[$_], $ZONES[$_]) for 0 .. 3;
	}
}

sub crud {
	for my $conn (@conns) {
		for my $text ("it's \\ ü", $LONG) {
			my ($row) = $conn->selectrow_array('INSERT INTO item (name, n) VALUES (?, ?) RETURNING id', undef, $text, undef);
			my ($got, $n) = $conn->selectrow_array('SELECT name, n FROM item WHERE id = ?', undef, $row);
			check($got eq $text && !defined $n, 'read');
			check($conn->do('UPDATE item SET name = ? WHERE id = ?', undef, 'new', $row) == 1);
			check(name($conn, $row) eq 'new');
			check($conn->do('DELETE FROM item WHERE id = ?', undef, $row) == 1);
			check(name($conn, $row) eq '-');
		}
	}
	my $insert = $conns[0]->prepare('INSERT INTO item (id, name) VALUES (?, ?)');
	$insert->execute($_, 'v') for 500 .. 519;
	check($conns[1]->selectrow_array('SELECT count(*) FROM item WHERE id = any(?)', undef, [500, 501, 9999]) == 2, 'any');
}

sub transactions {
	my ($one, $two) = @conns;
	$one->begin_work;
	$one->do("INSERT INTO item (id, name) VALUES (600, 'a')");
	check(name($two, 600) eq '-', 'not yet');
	$one->pg_savepoint('s');
	$one->do("UPDATE item SET name = 'b' WHERE id = 600");
	$one->pg_rollback_to('s');
	$one->commit;
	check(name($two, 600) eq 'a', 'committed');
	$one->{AutoCommit} = 0;
	$one->do('DELETE FROM item WHERE id = 600');
	$one->rollback;
	$one->{AutoCommit} = 1;
	check(name($two, 600) eq 'a', 'rolled back');
}

sub prepared {
	my @made = map { $conns[$_]->prepare("SELECT ?::int + $_", { pg_prepare_now => 1 }) } 0 .. 3;
	for my $turn (0 .. 7) {
		for my $i (0 .. 3) {
			$made[$i]->execute($turn);
			check($made[$i]->fetchrow_arrayref->[0] == $turn + $i, "another's statement");
			$made[$i]->finish;
		}
	}
	undef @made; # DEALLOCATE
	check(name($conns[0], 1) eq 'item 1');
}

sub errors {
	my %wrong = ('23505' => "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01' => 'SELECT * FROM nope', '22012' => 'SELECT 1/0');
	for my $conn (@conns) {
		for my $state (sort keys %wrong) {
			fails($state, sub { $conn->do($wrong{$state}) });
		}
		$conn->begin_work;
		fails('22012', sub { $conn->selectrow_array('SELECT 1 / ?::int', undef, 0) });
		fails('25P02', sub { $conn->do('SELECT 1') });
		$conn->rollback;
		check(name($conn, 1) eq 'item 1');
	}
}

sub timeout {
	$conns[0]->do('SET statement_timeout = 100');
	fails('57014', sub { $conns[0]->do('SELECT pg_sleep(30)') });
	check($conns[1]->selectrow_array('SHOW statement_timeout') eq '0');
	$conns[0]->do('RESET statement_timeout');
}

sub cancel {
	my $conn = $conns[0];
	my $statement = $conn->prepare('SELECT pg_sleep(30)', { pg_async => DBD::Pg::PG_ASYNC });
	$statement->execute;
	# A request that comes before the query has begun is in vain, with PostgreSQL itself as well.
	my $running = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep.30' AND wait_event = 'PgSleep'";
	1 until $conns[1]->selectrow_array($running);
	check($conn->pg_cancel, 'cancelled'); # false when the answer was another than 57014
	check(name($conn, 1) eq 'item 1');
}

sub copies {
	my $conn = $conns[2];
	$conn->do('COPY item (id, name) FROM STDIN');
	$conn->pg_putcopydata("$_\tcopied\n") for 10000 .. 14999;
	$conn->pg_putcopyend;
	$conn->do('COPY (SELECT id FROM item WHERE id >= 10000) TO STDOUT');
	my ($line, $rows) = ('', 0);
	$rows++ while $conn->pg_getcopydata($line) >= 0;
	check($rows == 5000, $rows);
	fails('22P02', sub {
		$conn->do('COPY item (id, name) FROM STDIN');
		$conn->pg_putcopydata("x\ty\n");
		$conn->pg_putcopyend;
	});
	$conn->do('DELETE FROM item WHERE id >= 10000');
}

sub listen_for {
	my ($hears, $says) = @conns;
	$hears->do('LISTEN channel');
	$says->do("NOTIFY channel, 'hello'");
	my ($end, $heard) = (time + 20);
	until ($heard = $hears->pg_notifies) {
		check(time < $end, 'nothing was heard');
		vec(my $in = '', $hears->{pg_socket}, 1) = 1;
		select($in, undef, undef, 1);
	}
	check($heard->[2] eq 'hello', $heard->[2]);
	$hears->do('UNLISTEN *');
}

steps(connect => \&connected, settings => \&settings, crud => \&crud, transactions => \&transactions, prepared => \&prepared,
	errors => \&errors, timeout => \&timeout, cancel => \&cancel, copy => \&copies, listen => \&listen_for);
serve(sub { name($conns[$_[0]], $_[1]) },
	sub { $conns[$_[0]]->do('UPDATE item SET name = ? WHERE id = ?', undef, $_[2], $_[1]) });
$_->disconnect for @conns;
