# limit: 120
import multiprocessing as mp
code = "def f(x): return x * x"
def f(x): return x * x
def worker(q, n): q.put(n * 2)
if __name__ == "__main__":
    ctx = mp.get_context("fork")
    with ctx.Pool(3) as p: print(p.map(f, range(20)))
    q = ctx.Queue(); ps = [ctx.Process(target=worker, args=(q, i)) for i in range(4)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
    v = ctx.Value("i", 0)
    def add(v):
        for _ in range(500):
            with v.get_lock(): v.value += 1
    ps = [ctx.Process(target=add, args=(v,)) for _ in range(3)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    import math
    with mp.get_context("spawn").Pool(2) as p: print(p.map(math.factorial, range(8)))
    a, b = ctx.Pipe(); a.send({"k": 1}); print(b.recv())
    from multiprocessing import shared_memory
    s = shared_memory.SharedMemory(create=True, size=100); s.buf[0] = 7
    t = shared_memory.SharedMemory(name=s.name); print(t.buf[0]); t.close(); s.close(); s.unlink()
