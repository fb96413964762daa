# inotify through ctypes, with select.epoll.
import ctypes, os, select, struct, tempfile, threading

libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
top = tempfile.mkdtemp()
wd = libc.inotify_add_watch(fd, top.encode(), 0xFFF)
print(fd >= 0, wd)

def events():
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return
    at = 0
    while at < len(data):
        wd, mask, cookie, length = struct.unpack_from("iIII", data, at)
        yield wd, hex(mask), bool(cookie), data[at + 16:at + 16 + length].rstrip(b"\0").decode()
        at += 16 + length

with open(os.path.join(top, "name"), "w") as f:
    f.write("text")
print(list(events()))
os.replace(os.path.join(top, "name"), os.path.join(top, "other"))
os.chmod(os.path.join(top, "other"), 0o600)
os.listdir(top)
print(list(events()))
poll = select.epoll()
poll.register(fd, select.EPOLLIN)
print(poll.poll(0))
timer = threading.Timer(0.05, lambda: os.unlink(os.path.join(top, "other")))
timer.start()
print([event for _, event in poll.poll(10)])
timer.join()
print(list(events()))
os.rmdir(top)
print(list(events()))
print(libc.inotify_rm_watch(fd, wd), os.strerror(ctypes.get_errno()))
