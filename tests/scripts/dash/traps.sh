trap 'echo usr1' USR1
trap 'echo bye' EXIT
kill -USR1 $$
(trap 'echo inner; exit 4' TERM; kill -TERM $(sh -c 'echo $PPID'); sleep 1; echo not reached)
echo $?
sh -c 'kill -SEGV $$'; echo $?
sh -c 'kill -KILL $$'; echo $?
trap '' INT; kill -INT $$; echo survived
