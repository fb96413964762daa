f() { if (( $1 == 0 )); then echo bottom; else ( f $(( $1 - 1 )) ); fi; }; f 40
x=$( echo $( echo $( echo $( echo nested ) ) ) ); echo $x
seq 1 300 | xargs -n 10 -P 4 echo | wc -l
