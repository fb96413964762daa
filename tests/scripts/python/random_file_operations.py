# Random operations on a small tree, as several users: every result and errno, and the tree that
# is left, must be what the host gives. Leaves out what depends on the host's settings: sticky
# directories (protected_symlinks, protected_regular) and other users' hard links.
# limit: 120
import ctypes, errno, os, random, shutil, stat, tempfile

libc = ctypes.CDLL(None, use_errno=True)
base = tempfile.mkdtemp()
os.umask(0o022)
os.chmod(base, 0o755)
work = base + "/w"
is_root = os.geteuid() == 0


def component():
    dots = [".", ".."] if r.random() < 0.15 else []
    return r.choice(["a", "b", "c", "d", "a", "b"] + dots)


def path():
    while True:
        parts = [component() for _ in range(r.choice([1, 1, 2, 2, 3]))]
        depth, inside = 0, True
        for part in parts:
            depth += {"..": -1, ".": 0}.get(part, 1)
            inside = inside and depth >= 0
        if inside:
            return "/".join(parts) + ("/" if r.random() < 0.12 else "")


def shown(s):
    is_directory = stat.S_ISDIR(s.st_mode)
    sized = stat.S_ISREG(s.st_mode) or stat.S_ISLNK(s.st_mode)
    return (oct(s.st_mode), 0 if is_directory else s.st_nlink, s.st_uid, s.st_gid,
            s.st_size if sized else 0)


def open_(name, flags, mode):
    fd = os.open(name, flags | os.O_NONBLOCK, mode)
    try:
        if flags & os.O_APPEND:
            os.write(fd, b"xyz")
        return shown(os.fstat(fd))
    finally:
        os.close(fd)


def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) < 0:
        raise OSError(ctypes.get_errno(), "")


def open_arguments():
    create = r.choice([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC])
    other = r.choice([0, 0, os.O_NOFOLLOW, os.O_APPEND | os.O_WRONLY])
    flags = r.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]) | create
    mode = r.choice([0o666, 0o600, 0o4755, 0o2755, 0o444])
    if other & os.O_APPEND:
        flags &= ~os.O_RDWR
    return path(), flags | other, mode


def target():
    name = path()
    return r.choice([name, name, "a", "b", "../w/" + name, work + "/" + name])


MODES = [0o644, 0o755, 0, 0o4755, 0o2755, 0o600, 0o777]
OPERATIONS = {
    "mkdir": (4, os.mkdir, lambda: (path(), r.choice([0o777, 0o700, 0o2775, 0o500]))),
    "open": (7, open_, open_arguments),
    "unlink": (3, os.unlink, lambda: (path(),)),
    "rmdir": (2, os.rmdir, lambda: (path(),)),
    "rename": (5, os.rename, lambda: (path(), path())),
    "renameat2": (2, renameat2, lambda: (path(), path(), r.choice([1, 2]))),
    "link": (2, os.link, lambda: (path(), path())),
    "symlink": (3, os.symlink, lambda: (target(), path())),
    "chmod": (2, os.chmod, lambda: (path(), r.choice(MODES))),
    "chown": (1, os.chown, lambda: (path(), r.choice([-1, 0, 1000]), r.choice([-1, 0, 50]))),
    "lchown": (1, os.lchown, lambda: (path(), r.choice([-1, 1000]), r.choice([-1, 1000]))),
    "truncate": (1, os.truncate, lambda: (path(), r.choice([0, 10, 5000]))),
    "stat": (2, lambda name: shown(os.stat(name)), lambda: (path(),)),
    "lstat": (2, lambda name: shown(os.lstat(name)), lambda: (path(),)),
    "readlink": (1, os.readlink, lambda: (path(),)),
    "access": (2, os.access, lambda: (path(), r.choice([0, 1, 2, 4, 6]))),
    "utime": (1, os.utime, lambda: (path(), r.choice([None, (5, 6)]))),
    "mknod": (1, os.mknod, lambda: (path(), r.choice([stat.S_IFIFO, stat.S_IFREG]) | 0o640)),
    "list": (1, lambda name: sorted(os.listdir(name)), lambda: (path(),)),
}
CHOICES = [name for name, (weight, _, _) in OPERATIONS.items() for _ in range(weight)]


def change_user():
    os.seteuid(0)
    os.setegid(0)
    os.setgroups([])
    if r.random() < 0.6:
        user = r.choice([1000, 1001])
        os.setgroups([50] if r.random() < 0.5 else [])
        os.setegid(1000)
        os.seteuid(user)


for seed in range(4):
    r = random.Random(seed)
    os.mkdir(work)
    os.chmod(work, 0o777)
    os.chdir(work)
    for _ in range(1500):
        if is_root and r.random() < 0.06:
            change_user()
        name = r.choice(CHOICES)
        _, function, arguments = OPERATIONS[name]
        arguments = arguments()
        if name == "link" and os.geteuid() != 0:
            continue
        try:
            result = function(*arguments)
        except OSError as error:
            result = errno.errorcode.get(error.errno, error.errno)
        print(f"{os.geteuid()} {name} {arguments} {result}".replace(base, "BASE"))
    if is_root:
        os.seteuid(0)
        os.setegid(0)
    for directory, directories, files in os.walk("."):
        directories.sort()
        for name in sorted(directories + files):
            print(directory, name, shown(os.lstat(f"{directory}/{name}")))
    os.chdir(base)
    shutil.rmtree(work, ignore_errors=True)
    os.system(f"chmod -R u+rwx {work} 2>/dev/null; rm -rf {work}")
os.rmdir(base)
