import asyncio
async def tick(n):
    await asyncio.sleep(0.005 * n); return n
async def main():
    print(await asyncio.gather(*(tick(i) for i in range(10))))
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"data"))
    try: await asyncio.wait_for(asyncio.sleep(10), 0.02)
    except asyncio.TimeoutError: print("timeout")
    import socket
    a, b = socket.socketpair(); r, w = await asyncio.open_connection(sock=a)
    w.write(b"x\n"); print(b.recv(10)); b.send(b"reply\n"); print(await r.readline())
    srv = await asyncio.start_unix_server(lambda r, w: (w.write(b"hey"), w.close()), "/tmp/.aio.sock")
    r, w = await asyncio.open_unix_connection("/tmp/.aio.sock"); print(await r.read()); srv.close()
    import os; os.unlink("/tmp/.aio.sock")
    print(await asyncio.get_running_loop().run_in_executor(None, sum, range(100)))
asyncio.run(main())
