import os, shutil, tempfile, pathlib, stat, errno
d = pathlib.Path(tempfile.mkdtemp()); os.chdir(d)
for i in range(300): (d / f"f{i:03}").write_text(str(i))
print(len(os.listdir()), sorted(os.listdir())[:3], sum(int(p.read_text()) for p in d.iterdir()))
os.rename("f000", "g"); os.replace("g", "f001"); os.link("f001", "h"); os.symlink("h", "s"); print(os.stat("s").st_nlink, os.readlink("s"))
for op, want in [(lambda: os.rmdir("f002"), "ENOTDIR"), (lambda: os.mkdir("h"), "EEXIST"), (lambda: os.open("h/x", 0), "ENOTDIR"),
                 (lambda: os.open("none", 0), "ENOENT"), (lambda: os.unlink("/tmp"), "EISDIR"), (lambda: os.rename(".", "x"), "EBUSY"),
                 (lambda: os.open("x" * 256, 0), "ENAMETOOLONG"), (lambda: os.readlink("h"), "EINVAL"), (lambda: os.open("/tmp", os.O_WRONLY), "EISDIR")]:
    try: op(); print("no error", want)
    except OSError as e: print(errno.errorcode[e.errno])
os.symlink("loop", "loop")
try: open("loop")
except OSError as e: print(errno.errorcode[e.errno])
fd = os.open("sparse", os.O_RDWR | os.O_CREAT); os.pwrite(fd, b"end", 1 << 30); print(os.fstat(fd).st_size, os.pread(fd, 3, 1 << 30), os.pread(fd, 4, 100)); print(os.lseek(fd, 0, os.SEEK_DATA))
os.ftruncate(fd, 5); print(os.fstat(fd).st_size); os.posix_fallocate(fd, 0, 10000); print(os.fstat(fd).st_size)
os.mkdir("t"); os.chmod("t", 0o2755); fd2 = os.open("t", os.O_RDONLY | os.O_DIRECTORY); os.mkdir("sub", dir_fd=fd2); print(os.listdir(fd2), oct(os.stat("t").st_mode))
os.utime("h", ns=(123456789, 987654321)); s = os.stat("h"); print(s.st_atime_ns, s.st_mtime_ns)
with open("big", "wb") as f: f.write(os.urandom(3 << 20))
shutil.copyfile("big", "big2"); print(open("big", "rb").read() == open("big2", "rb").read())
with open("rm", "w+") as f: os.unlink("rm"); f.write("alive"); f.seek(0); print(f.read(), os.fstat(f.fileno()).st_nlink)
os.chdir("/"); shutil.rmtree(d); print(d.exists())
