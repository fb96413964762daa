# needs: sqlite3
d=$(mktemp -d); cd $d; sqlite3 db 'create table t(x); with recursive c(i) as (select 1 union all select i+1 from c where i<20000) insert into t select i*i from c; select count(*), sum(x) from t;'
sqlite3 db .dump | md5sum; sqlite3 :memory: 'select sqlite_version() is not null'; cd /; rm -r $d
