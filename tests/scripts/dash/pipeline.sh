printf 'b\na\nc\n' | sort | tr a-z A-Z | while read x; do echo "[$x]"; done
seq 1 1000 | awk '{s+=$1} END {print s}'
yes | head -n 3
true | false; echo $?
