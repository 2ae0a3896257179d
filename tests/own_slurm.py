"""A Slurm of one node and two processors, of its own, for tests of the submit scripts."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from commands import environment

TOP = Path(__file__).resolve().parents[1]
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol", "unshare", "setpriv")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

#: All daemons in a process namespace of their own: whatever ends the test, they and their jobs end with it.
DAEMONS = """
munged --force --foreground --key-file=$D/key --socket=$D/socket --pid-file=$D/munged.pid --log-file=$D/munged.log \
    --seed-file=$D/seed >$D/munged.out 2>&1 &
until [ -S $D/socket ]; do sleep 0.02; done
slurmctld -D -f $D/slurm.conf >$D/slurmctld.out 2>&1 &
slurmd -D -N localhost -f $D/slurm.conf >$D/slurmd.out 2>&1 &
wait
"""
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=10
ReturnToService=2
KillWait=5
MinJobAge=3600
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """The first program that is not here, or ""."""
    return next((name for name in PROGRAMS if shutil.which(name) is None), "")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    """A controller, a node and munge, in `folder`; a context."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = environment() | {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Slurm:
        folder = self.folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o700)
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        text = CONFIGURATION.format(folder=folder, user=user, ports=free_ports(2))
        (folder / "slurm.conf").write_text(text)
        own = ["--user", "--map-current-user"] if os.getuid() else []
        apart = ["unshare", *own, "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *apart, "bash", "-c", DAEMONS],
            env=os.environ | {"D": str(folder)},
            start_new_session=True,
        )
        deadline = time.monotonic() + 20
        while "idle" not in self("sinfo", "-h", "-o", "%t", check=False):
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__()
                raise RuntimeError("Slurm does not start:\n" + self.logs())
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def logs(self) -> str:
        """What the daemons said."""
        return "\n".join(f"{p.name}: {p.read_text()[-2000:]}" for p in self.folder.glob("*.[lo][ou]*"))

    def __call__(self, *words: str, check: bool = True) -> str:
        """A command of Slurm; what it prints."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, script: str, *words: str, **parameters: object) -> list[str]:
        """Numbers of the jobs that a script of slurm/ submits."""
        done = run_script(script, *words, environment=self.environment, **parameters)
        assert done.returncode == 0, done.stderr
        return re.findall(r"^job (\d+): ", done.stdout, re.MULTILINE)

    def show(self, job: str) -> dict[str, str]:
        """What is known of a job, of each of its entries the first."""
        found: dict[str, str] = {}
        for name, value in re.findall(r"(\w+)=(\S*)", self("scontrol", "show", "job", job)):
            found.setdefault(name, value)
        return found

    def start_soon(self, job: str) -> None:
        """Starts a job that is queued again in 5 seconds instead of two minutes.

        Not at once: what is still said of the end of its last start would then be taken for that of the new one.
        """
        self("scontrol", "update", f"JobId={job}", "StartTime=now+5")

    def wait(self, jobs: Sequence[str], limit: float = 300.0) -> list[str]:
        """The states of all jobs, tasks of arrays as NUMBER_TASK, once they have ended."""
        deadline = time.monotonic() + limit
        while True:
            states = [self.show(job)["JobState"] for job in jobs]
            if all(state.rstrip("+") in ENDED for state in states):
                return states
            assert time.monotonic() < deadline, f"{dict(zip(jobs, states, strict=True))}\n{self.logs()}"
            time.sleep(0.2)


def run_script(
    script: str, *words: str, environment: dict[str, str] | None = None, **parameters: object
) -> subprocess.CompletedProcess[str]:
    """A script of slurm/ as a user calls it; parameters are variables of the environment."""
    variables = {name: str(value) for name, value in parameters.items()}
    return subprocess.run(
        ["bash", str(TOP / "slurm" / f"{script}.sh"), *words],
        env=(environment or dict(os.environ)) | variables,
        capture_output=True,
        text=True,
        timeout=600,
    )
