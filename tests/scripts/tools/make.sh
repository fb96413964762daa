# needs: gcc make
# limit: 300
d=$(mktemp -d); cd $d; i=0; while [ $i -lt 100 ]; do printf '#include <stdio.h>\nint f%d(int x) { return x * %d + 1; }\n' $i $i > f$i.c; i=$((i+1)); done
{ i=0; while [ $i -lt 100 ]; do echo "int f$i(int);"; i=$((i+1)); done; echo '#include <stdio.h>'; echo 'int main(void) { long s = 0;'; i=0; while [ $i -lt 100 ]; do echo "s += f$i($i);"; i=$((i+1)); done; printf '%s\n' 'printf("%ld\n", s); return 0; }'; } > main.c
printf 'O := $(patsubst %%.c,%%.o,$(wildcard *.c))\nall: p\np: $(O)\n\t@gcc -o $@ $^\n%%.o: %%.c\n\t@gcc -O1 -c -o $@ $<\n' > Makefile
make -s -j2 && ./p; ls *.o | wc -l; make -q; echo $?; cd /; rm -rf $d
