import sys, os, json, hashlib, math, time, random, struct
print("hello", sys.argv[0], math.sqrt(2), json.dumps({"a": [1, 2, None]}))
print(hashlib.sha256(b"x" * 100000).hexdigest())
print(os.getcwd(), os.path.exists("/etc/passwd"), os.path.exists("/etc/shadow") in (True, False))
assert time.monotonic() > 0 and time.time() > 1.6e9
assert len(os.urandom(64)) == 64
print(os.cpu_count() > 0, sys.getdefaultencoding(), struct.calcsize("P"))
