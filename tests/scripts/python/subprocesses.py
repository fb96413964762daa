import subprocess, os, signal, sys
print(subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout)
print(subprocess.check_output("cat | tr a-z A-Z", shell=True, input=b"pipe"))
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as e:
    print("ENOENT", e.errno)
p = subprocess.Popen(["sleep", "100"]); p.send_signal(signal.SIGTERM); print(p.wait())
try:
    subprocess.run(["sleep", "100"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timeout")
r, w = os.pipe(); pid = os.fork()
if pid == 0:
    os.write(w, b"child"); os._exit(3)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
ps = [subprocess.Popen([sys.executable, "-c", f"print({i})"], stdout=subprocess.PIPE) for i in range(4)]
print([p.communicate()[0] for p in ps])
