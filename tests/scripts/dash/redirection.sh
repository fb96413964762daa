d=$(mktemp -d); cd $d
echo a > f; echo b >> f; cat f; cat < f > g; cmp f g && echo same
exec 3> h; echo via3 >&3; exec 3>&-; cat h
ls nothing 2> err || echo failed; test -s err && echo has-error
{ echo out; echo err >&2; } > both 2>&1; cat both
echo x | tee one two >/dev/null; cat one two
cd /; rm -r $d; ls $d 2>/dev/null || echo gone
