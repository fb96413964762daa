# Alarms outlive exec, also the second time; limits on CPU time interrupt, and end.
# limit: 60
use strict;
use warnings;
use POSIX qw(WIFSIGNALED WTERMSIG SIGALRM SIGKILL);
use Time::HiRes qw(ualarm);

for my $round (1 .. 3) {
    my $child = fork // die;
    if (!$child) {
        ualarm(100_000);
        exec "/bin/sleep", "30";
        exit 1;
    }
    waitpid $child, 0;
    print "round $round: ", WIFSIGNALED($?) && WTERMSIG($?) == SIGALRM ? "alarm" : "status $?", "\n";
}
local $SIG{ALRM} = sub { print "own alarm\n" };
ualarm(50_000);
select undef, undef, undef, 30;

for my $limits ("-t 1", "-St 1") {
    my $status = system "/bin/bash", "-c", "ulimit $limits; exec /usr/bin/perl -e 'while (1) {}' 2>&1";
    print "ulimit $limits: signal ", $status & 127, "\n";
}
my $caught = `/bin/bash -c 'ulimit -St 1; ulimit -Ht 2; /usr/bin/perl -e "\\\$| = 1; \\\$SIG{XCPU} = sub { print qq(caught\\n) }; while (1) {}"; echo \$?' 2>&1`;
$caught =~ s/^.*Killed.*\n//mg;
print $caught;
