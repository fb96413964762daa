use strict; my %h = map { $_ => $_ ** 2 } 1..5; print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
my $x = `echo sub`; print $x; open(my $p, "-|", "seq 3") or die; print while <$p>; close $p;
my $pid = fork; if (!$pid) { exit 4 } waitpid $pid, 0; print $? >> 8, "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print $@;
print sprintf("%.3f", atan2(1, 1) * 4), "\n"; system("exit 3"); print $? >> 8, "\n";
