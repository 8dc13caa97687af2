"""A SLURM of its own on this host: four virtual nodes, on loopback alone."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
NODES = 4
START_S = 60

# Nodes have what jobs ask for, and not what this host has (config_overrides). A job has its node for itself,
# so that no more than four run at once. cred_expire is also how long a job waits that goes on in a new one.
SLURM_CONF = """\
ClusterName=trackkit
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3600
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n[0-{last}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first_port}-{last_port}] \
CPUs=32 RealMemory=131072 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=n[0-{last}] Default=YES MaxTime=INFINITE State=UP OverSubscribe=EXCLUSIVE
"""
GRES_CONF = "NodeName=n[0-{last}] Name=gpu File={folder}/gpu[0-3]\n"


class NoSlurm(Exception):
    """It is not installed, or does not start; the message says why."""


class Slurm:
    """Submits jobs and looks at them.

    Attributes:
        environment: What a process needs in order to use it.
    """

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """What a command prints; raises if it fails."""
        environment = self.environment
        done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def job(self, job: str) -> dict[str, str]:
        """``JobState``, ``ExitCode``, ``Restarts`` and all else that SLURM says of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", "--oneliner", job)))

    def jobs(self, *states: str) -> list[str]:
        """The jobs in the queue; only those in one of these states if any is named."""
        of_these = ["--states", ",".join(states)] if states else []
        return self.run("squeue", "--noheader", "--array", "--format=%A", *of_these).split()

    def wait_until(self, true: Callable[[], bool], what: str, *, seconds: float = 180) -> None:
        """Wait until something is true of the cluster; fails with the queue."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: not within {seconds} s\n{self.run('squeue')}"
            time.sleep(0.2)

    def wait(self, job: str) -> dict[str, str]:
        """Wait for the end of a job, those that it goes on in included."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        self.wait_until(lambda: self.job(job)["JobState"] in over, f"job {job} is over")
        return self.job(job)


@contextmanager
def one_host_slurm() -> Iterator[Slurm]:
    """Start it in a temporary folder, and end all of it.

    Raises:
        NoSlurm: It is not installed, or does not start.
    """
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        msg = f"SLURM is not installed (no {', '.join(missing)}): `make slurm` installs it on Debian, as root"
        raise NoSlurm(msg)
    with ExitStack() as stack:
        # Not pytest's: munge asks that everybody may enter it, and paths of sockets are short.
        made = tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        folder.chmod(0o755)
        _write_configuration(folder)
        _start(stack, folder, "munged", "--foreground", "--force", *_munge_options(folder))
        _until(folder, "munged", (folder / "munge.socket").exists)
        slurm = Slurm(folder)
        conf = str(folder / "slurm.conf")
        _start(stack, folder, "slurmctld", "-D", "-f", conf)
        for k in range(NODES):
            _start(stack, folder, "slurmd", "-D", "-f", conf, "-N", f"n{k}")
        _until(folder, "slurmctld", lambda: _idle_nodes(slurm) == NODES)
        stack.callback(_end_jobs, slurm)
        yield slurm


def _write_configuration(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for k in range(4):
        (folder / f"gpu{k}").touch()  # the device of a GPU: a file must be there
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    first, last = _free_ports(NODES + 1)
    values = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(),
        "port": first,
        "first_port": first + 1,
        "last_port": last,
        "last": NODES - 1,
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    (folder / "gres.conf").write_text(GRES_CONF.format(**values))


def _munge_options(folder: Path) -> list[str]:
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
    return [f"--{option}={folder / name}" for option, name in files.items()]


def _free_ports(count: int) -> tuple[int, int]:
    """First and last of ports in a row that nobody listens on, below those that the system gives out."""
    for first in range(16000 + secrets.randbelow(10000), 32000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(closing(socket.socket())).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first, first + count - 1
    msg = "no free ports"
    raise NoSlurm(msg)


def _start(stack: ExitStack, folder: Path, *words: str) -> None:
    """A daemon in the foreground, so that it can be ended by its handle."""
    log = stack.enter_context((folder / f"{words[0]}.out").open("ab"))
    environment = {**os.environ, "PATH": PATH}
    daemon = subprocess.Popen(
        words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
    )

    def end() -> None:
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    stack.callback(end)


def _until(folder: Path, name: str, true: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not true():
        if time.monotonic() > end:
            logs = "".join(path.read_text(errors="replace")[-2000:] for path in folder.glob(f"{name}*.*"))
            msg = f"{name} does not start: {logs}"
            raise NoSlurm(msg)
        time.sleep(0.1)


def _idle_nodes(slurm: Slurm) -> int:
    sinfo = ["sinfo", "--noheader", "--Node", "--states=idle", "--responding", "--format=%N"]
    done = subprocess.run(sinfo, env=slurm.environment, capture_output=True, text=True, check=False)
    return len(done.stdout.split())


def _end_jobs(slurm: Slurm) -> None:
    for job in slurm.jobs():
        slurm.run("scancel", job)
    slurm.wait_until(lambda: not slurm.jobs(), "all jobs are over", seconds=90)
