# needs: ipcs ipcmk ipcrm
# System V objects from the shell.
number() { sed 's/.*: //'; }
segment=$(ipcmk -M 5000 -p 640 | number)
set=$(ipcmk -S 3 | number)
queue=$(ipcmk -Q | number)
ipcs -m -i "$segment" | grep -E 'bytes|mode' | sed 's/cuid=.*//; s/[lc]pid=[0-9]*//g'
ipcs -s -i "$set" | grep -E 'nsems|^[0-9]'
ipcs -q -i "$queue" | grep -E 'cbytes'
ipcs -m | grep -c " $segment "
ipcrm -m "$segment" -s "$set" -q "$queue"
echo "status $?"
ipcrm -m "$segment" 2>&1 | sed 's/[0-9][0-9]*/N/'
ipcs -l | grep -E 'max|min' | grep -v kbytes
