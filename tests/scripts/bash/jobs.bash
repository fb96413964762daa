for i in 1 2 3 4; do ( sleep 0.0$i; exit $i ) & pids+=($!); done
for p in "${pids[@]}"; do wait $p; echo $?; done
wait -n 2>/dev/null; echo $?
set -m; sleep 0.05 & jobs -r | wc -l; wait; echo ok
( trap 'echo got term; exit 9' TERM; while :; do :; done ) & p=$!; sleep 0.3; kill -TERM $p; wait $p; echo $?
