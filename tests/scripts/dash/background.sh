(sleep 0.05; exit 5) & p=$!
(exit 6) & q=$!
wait $p; echo $?
wait $q; echo $?
for i in 1 2 3 4 5; do (exit $i) & done; wait; echo done
sleep 10 & kill $!; wait $!; echo $?
