# needs: inotifywait tail
# Programs that wait for files to change: inotifywait, tail -f.
cd "$(mktemp -d)" || exit
mkdir d
: > log
: > seen
inotifywait -q -m -e create,moved_to,moved_from,delete,close_write,delete_self --format '%e %f' d > log &
watcher=$!
until grep -qs '^inotify' /proc/$watcher/fdinfo/*; do sleep 0.02; done
echo x > d/a
mv d/a d/b
mkdir d/sub
mv d/b d/sub/c
rm -r d/sub
rmdir d
until grep -q DELETE_SELF log; do sleep 0.02; done
kill $watcher
wait $watcher
cat log
inotifywait -q -t 5 -e close_write . > once &
watcher=$!
until grep -qs '^inotify' /proc/$watcher/fdinfo/*; do sleep 0.02; done
echo x > written
wait $watcher
echo "status $?"
cat once
printf 'one\ntwo\n' > growing
tail -n 1 -f growing > seen &
follower=$!
until grep -q two seen; do sleep 0.02; done
echo three >> growing
until grep -q three seen; do sleep 0.02; done
echo four >> growing
until grep -q four seen; do sleep 0.02; done
kill $follower
wait $follower
cat seen
