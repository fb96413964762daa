import threading, queue, time, signal, os
q = queue.Queue(); out = []
def worker():
    while (x := q.get()) is not None: out.append(x * x)
ts = [threading.Thread(target=worker) for _ in range(8)]; [t.start() for t in ts]
for i in range(1000): q.put(i)
for _ in ts: q.put(None)
[t.join() for t in ts]; print(len(out), sum(out))
e = threading.Event(); threading.Timer(0.02, e.set).start(); print(e.wait(5))
b = threading.Barrier(4); n = []
def hit(): b.wait(); n.append(1)
ts = [threading.Thread(target=hit) for _ in range(4)]; [t.start() for t in ts]; [t.join() for t in ts]; print(len(n))
got = []
signal.signal(signal.SIGALRM, lambda *a: got.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.02)
t = time.monotonic()
while not got and time.monotonic() < t + 5: pass
print(got)
print(threading.Condition().acquire(), threading.Lock().acquire(timeout=0.01))
l = threading.Lock(); l.acquire(); print(l.acquire(timeout=0.02))
