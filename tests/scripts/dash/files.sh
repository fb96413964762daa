d=$(mktemp -d); cd $d; umask 022
mkdir -p a/b/c; echo x > a/b/c/f; ln a/b/c/f a/hard; ln -s b/c/f a/soft; cat a/soft
stat -c '%n %F %a %h' a a/b a/b/c/f a/hard a/soft; stat -c %s a/hard a/soft
mv a/b a/z; cat a/soft 2>/dev/null || echo dangling; readlink a/soft
cp -a a copy; diff -r a copy 2>/dev/null; echo $?
chmod 640 copy/z/c/f; stat -c %a copy/z/c/f; touch -d '2001-02-03 04:05:06 UTC' copy/z/c/f; stat -c %Y copy/z/c/f
truncate -s 4G sparse; stat -c '%s %b' sparse; du -k sparse
dd if=/dev/zero of=z bs=1k count=100 2>/dev/null; wc -c < z; head -c 10 /dev/zero | od -An -tx1
rmdir a 2>/dev/null || echo notempty; rm -rf a; test -e a || echo removed
mkfifo p; (echo through > p) & cat p; wait
find . | sort; cd /; rm -rf $d
