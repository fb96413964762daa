d=$(mktemp -d); cd $d; seq 10 | shuf --random-source=/etc/passwd | sort -n | paste -sd,; seq 5 | tac | nl; seq 20 | split -l 7 - p; wc -l p*; cat p* | md5sum
echo 'a b c' | cut -d' ' -f2; printf 'x\nx\ny\n' | uniq -c; comm <(true) /dev/null 2>/dev/null; echo abc | rev 2>/dev/null; expr 3 + 4; factor 360; basename /a/b.c .c; dirname /a/b
id -u; printenv PATH; uname -s; nproc > /dev/null; date -u -d @0 +%F; sleep 0.01; timeout 0.1 sleep 5; echo $?; env -i A=1 env; tty; od -c /dev/null; install -m 700 /dev/null q; stat -c %a q
ls -la | awk 'NR>1{print $1,$NF}' | sort; df . > /dev/null && echo df; dd if=/dev/urandom bs=4k count=3 2>/dev/null | wc -c; base64 paa | head -1; numfmt --to=iec 123456; mktemp -u > /dev/null; realpath .. ; cd /; rm -r $d
