x=$(echo one; echo two); echo "$x"
y=$(cat <<EOF
here $x
EOF
)
echo "$y"
(cd /tmp && pwd); pwd
( exit 7 ); echo $?
echo $((6*7)) `echo back`
