# needs: git
# limit: 120
d=$(mktemp -d); cd $d; export HOME=$d GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
git config --global user.name n; git config --global user.email e@x; git config --global init.defaultBranch main
git init -q r; cd r; seq 100 > a; mkdir s; echo b > s/b; git add .; git commit -qm one; seq 50 >> a; git commit -qam two
git log --oneline; git clone -q . ../c; cd ../c; git log -1 --format=%H; git status --short; git fsck 2>&1 | grep -v Checking; git gc -q; git log --oneline | wc -l
git checkout -qb x HEAD~1; wc -l < a; git merge -q main; git diff HEAD~1 --stat | tail -1; cd /; rm -rf $d
