"""Who holds a listening socket, asked of the kernel."""

from __future__ import annotations

import subprocess
import sys

from maildiag.hosts.system import listeners
from maildiag.probes import Listeners

# A master with a child that never listens, in the moment in which the child still has all that its master has.
_MASTER = """
import os, pathlib, socket, time
server = socket.create_server(("127.0.0.1", 0))
pathlib.Path("/proc/self/comm").write_text("dovecot")
child = os.fork()
if not child:
    pathlib.Path("/proc/self/comm").write_text("auth")
    time.sleep(60)
print(server.getsockname()[1], os.getpid(), child, flush=True)
time.sleep(60)
"""


def test_a_socket_of_a_master_is_the_master_s_while_a_child_has_it_too() -> None:
    with subprocess.Popen([sys.executable, "-c", _MASTER], stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        port, pid, child = map(int, master.stdout.readline().split())
        try:
            (found,) = (each for each in listeners(Listeners()) if each.port == port)
        finally:
            subprocess.run(["kill", str(child), str(pid)], check=True)
    assert (found.pid, found.program) == (pid, "dovecot")
