diff <(printf '1\n2\n') <(printf '1\n3\n')
while read -r l; do a+=("$l"); done < <(seq 3); echo "${a[@]}"
tee >(tr a-z A-Z) <<< lower | cat; sleep 0.1
