# What the Perl client needs: it runs its steps, then serves reads and writes. See test_clients.py.
package Steps;
use strict;
use warnings;
use utf8;
use Exporter 'import';
our @EXPORT = qw(@ZONES $LONG check steps serve);
our @ZONES = ('UTC', 'Europe/Berlin', 'Asia/Tokyo', 'America/Lima');
our $LONG = 'ü' x 150_000;
$| = 1;

sub check {
	my ($holds, $what) = @_;
	die 'not so: ' . ($what // '') . ' at line ' . (caller)[2] . "\n" unless $holds;
}

sub steps {
	while (my ($name, $step) = splice(@_, 0, 2)) {
		$step->();
		print "ok $name\n";
	}
}

sub serve {
	my ($get, $put) = @_;
	print "serve\n";
	while (my $line = <STDIN>) {
		my ($word, $conn, $row, $name) = split ' ', $line;
		if ($word eq 'get') {
			print $get->($conn, $row), "\n";
		} else {
			$put->($conn, $row, $name);
			print "done\n";
		}
	}
}
1;
