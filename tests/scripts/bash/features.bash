declare -A m=([x]=1 [y]=2); for k in $(echo "${!m[@]}" | tr ' ' '\n' | sort); do echo $k=${m[$k]}; done
coproc C { while read x; do echo got $x; done; }; echo hi >&${C[1]}; read r <&${C[0]}; echo $r
kill $C_PID; wait $C_PID 2>/dev/null; echo $?
echo {1..5} "${BASH_VERSION%%.*}" >/dev/null; printf '%(%Y)T\n' 0
shopt -s lastpipe; echo v | read z; echo "z=$z"
f() { local x=$1; (( x > 0 )) && f $((x-1)); echo -n "$x "; }; f 20; echo
set -o pipefail; false | true; echo $?
mapfile -t lines < <(seq 1 2000); echo ${#lines[@]}
time_out=$( { sleep 0.01; } 2>&1 ); echo "[$time_out]"
