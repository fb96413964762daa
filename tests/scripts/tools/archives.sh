# needs: tar gzip xz
# limit: 180
d=$(mktemp -d); cd $d; mkdir t; i=0; while [ $i -lt 50 ]; do mkdir t/$i; j=0; while [ $j -lt 100 ]; do echo $i.$j > t/$i/$j; j=$((j+1)); done; i=$((i+1)); done
tar cf a.tar t; tar czf a.tgz t; tar cJf a.txz t
mkdir x y z; tar xf a.tar -C x; tar xzf a.tgz -C y; tar xJf a.txz -C z
for o in x y z; do find $o -type f | wc -l; diff -r t $o/t && echo same; done
cat $(find t -type f | sort) | md5sum; find t -name '1*' -type f | xargs cat | wc -l; cd /; rm -rf $d
