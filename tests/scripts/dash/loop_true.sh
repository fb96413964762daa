# limit: 120
i=0; while [ $i -lt 200 ]; do /bin/true || exit 7; i=$((i+1)); done; echo done $i
