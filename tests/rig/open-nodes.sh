#!/bin/bash
# open-nodes.sh MODE FILE…: opens each (r or rw) and prints what the kernel says. It is run inside a unit, to see what that unit may.
# A device that the unit may open and that no driver serves answers ENXIO; one that it may not answers EPERM.
mode=$1
shift
exec perl -MFcntl -MErrno -e '
    my $flags = shift eq "r" ? O_RDONLY : O_RDWR;
    for my $file (@ARGV) {
        my $code = sysopen(my $handle, $file, $flags | O_NONBLOCK) ? "opened" : (grep { $!{$_} } qw(EPERM EACCES ENXIO ENODEV ENOENT))[0];
        print "$file ", $code // "$!", "\n";
    }' "$mode" "$@"
