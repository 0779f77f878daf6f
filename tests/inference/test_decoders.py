import subprocess
import sys


def test_decoders_are_processes_before_tensorflow_and_threads_after_it() -> None:
    code = """
import os, signal, sys
from ssgan_tf.inference.decoders import decoding_processes
sys.modules["tensorflow"] = None
print(decoding_processes().submit(os.getpid).result() == os.getpid())
del sys.modules["tensorflow"]
processes = decoding_processes()
print(processes.submit(os.getpid).result(), os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # They hold its output open: it is only read to its end if they end with the process.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    same, one, other = done.stdout.split()
    assert same == "True"
    assert (one != other) == (sys.platform == "linux")
