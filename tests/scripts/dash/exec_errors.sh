sh -c 'nosuchprogram' 2>/dev/null; echo $?
d=$(mktemp -d); echo 'not elf' > $d/x; $d/x 2>/dev/null; echo $?
chmod +x $d/x; printf '\177ELF' > $d/y; chmod +x $d/y; $d/y 2>/dev/null; echo $?
printf '#!/bin/sh\necho script $1 $0\n' > $d/s; chmod +x $d/s; cd $d; ./s arg
printf '#!./s\n' > t; chmod +x t; ./t | sed "s,$d,D,"
printf '#!/nonexistent\n' > u; chmod +x u; ./u 2>/dev/null; echo $?
rm -r $d
