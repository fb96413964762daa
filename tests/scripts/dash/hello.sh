echo hello; echo "$0 $#"; exit 3
