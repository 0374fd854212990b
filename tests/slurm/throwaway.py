"""A throw-away SLURM on this machine, for tests: munge, MariaDB, slurmdbd, slurmctld, two slurmd.

Needs root and Debian's slurm-wlm, slurmdbd, munge and mariadb-server. Everything listens on
loopback and lives in one folder. By hand: `python tests/slurm/throwaway.py start FOLDER`, then the
printed `export SLURM_CONF=...`, and `stop` in the end. Why each setting is what it is: README.md.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
ACCOUNTING_PROGRAMS = ("mariadbd", "slurmdbd", "sacct")
N_NODES = 2
MAX_ARRAY_SIZE = 9
# On a busy machine, wait this many times as long.
PATIENCE = float(os.environ.get("GANSFER_TEST_PATIENCE", "1"))

_SLURM_CONF = """\
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=12
KillWait=8
OverTimeLimit=0
MaxArraySize={max_array_size}
PropagateResourceLimits=NONE
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=3 \
RealMemory=6000 Gres=gpu:fake:2
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=n[1-{nodes}] MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
"""
_ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.sock
"""
_SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdPort={dbd_port}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""
_SQL = """\
create database if not exists accounting;
create user if not exists slurm@'127.0.0.1' identified by 'slurm';
create user if not exists slurm@localhost identified by 'slurm';
grant all on accounting.* to slurm@'127.0.0.1';
grant all on accounting.* to slurm@localhost;
"""


class Cluster:
    """One controller and two nodes of 3 CPUs and 2 fake GPUs, in `folder`."""

    def __init__(self, folder: Path, *, port: int = 17300, accounting: bool = True) -> None:
        self.folder = folder
        self.port = port
        self.accounting = accounting

    @property
    def environment(self) -> dict[str, str]:
        """What every SLURM command needs."""
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Write the configuration and start every daemon."""
        self._configure()
        self._daemon(
            *("munged", "--force", f"--key-file={self.folder}/munge.key"),
            *(f"--socket={self.folder}/munge.sock", f"--pid-file={self.folder}/munged.pid"),
            *(f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munge.seed"),
        )
        self._until("munged", "munge", "-S", str(self.folder / "munge.sock"), "-n")
        if self.accounting:
            self._start_accounting()
        self._daemon("slurmctld", "-f", str(self.folder / "slurm.conf"))
        self._until("slurmctld", "scontrol", "ping")
        for number in range(1, N_NODES + 1):
            self.start_node(f"n{number}")
        wait_until(lambda: self._idle_nodes() == N_NODES, 60, "idle nodes")

    def start_node(self, name: str) -> None:
        """Start one slurmd."""
        (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        self._daemon("slurmd", "-f", str(self.folder / "slurm.conf"), "-N", name)

    def kill_node(self, name: str) -> None:
        """SIGKILL one slurmd; the steps that it started live on, as on a node that lost its net."""
        os.kill(int((self.folder / f"slurmd-{name}.pid").read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        jobs = self.run("squeue", "-h", "-o", "%A", check=False).split()
        if jobs:
            self.run("scancel", "--full", "--signal=KILL", *jobs, check=False)
            self.run("scancel", *jobs, check=False)
            wait_until(lambda: not self.run("squeue", "-h", check=False), 30, "an empty queue")
        nodes = [f"slurmd-n{number}" for number in range(1, N_NODES + 1)]
        for names in ([*nodes, "slurmctld"], ["slurmdbd"], ["mariadb", "munged"]):
            self._end(names)

    def run(self, *command: str, check: bool = True) -> str:
        """What a SLURM command prints."""
        ran = subprocess.run(
            command, env=self.environment, check=check, text=True, capture_output=True
        )
        return ran.stdout

    def tell(self, lines: int = 80) -> str:
        """What a failure is explained by: jobs, nodes, and the last lines of the daemons' logs."""
        parts = [
            *(self.run("squeue", "-r", "-t", "all", check=False), self.run("sinfo", check=False)),
            self.run("sacct", "-X", "-o", "JobID,JobName%40,State,ExitCode,Start,End", check=False),
        ]
        for log in sorted((self.folder / "log").glob("slurm*.log")):
            last = log.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"==> {log.name} <==", *last]))
        return "\n".join(parts)

    def _configure(self) -> None:
        for name in ("log", "state", "spool", "db"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(1024))
        values = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "port": self.port,
            "dbd_port": self.port + 1,
            "sql_port": self.port + 2,
            "nodes": N_NODES,
            "first": self.port + 3,
            "last": self.port + 2 + N_NODES,
            "max_array_size": MAX_ARRAY_SIZE,
        }
        conf = _SLURM_CONF + (_ACCOUNTING_CONF if self.accounting else "")
        (self.folder / "slurm.conf").write_text(conf.format(**values))
        dbd = self.folder / "slurmdbd.conf"
        dbd.touch(mode=0o600)
        dbd.write_text(_SLURMDBD_CONF.format(**values))
        # Device nodes that are /dev/null again: with plain files CUDA_VISIBLE_DEVICES is not set.
        for number in range(2):
            gpu = self.folder / f"gpu{number}"
            if not gpu.exists():
                subprocess.run(["mknod", "-m", "666", str(gpu), "c", "1", "3"], check=True)
        (self.folder / "gres.conf").write_text(
            f"NodeName=n[1-{N_NODES}] Name=gpu Type=fake File={self.folder}/gpu[0-1]\n"
        )

    def _start_accounting(self) -> None:
        database, socket_path = self.folder / "db", self.folder / "mariadb.sock"
        if not (database / "mysql").exists():
            self._daemon(
                *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={database}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            )
        with (self.folder / "log" / "mariadb.log").open("ab") as log:
            subprocess.Popen(
                [
                    *("mariadbd", "--no-defaults", "--user=root", f"--datadir={database}"),
                    *(f"--socket={socket_path}", f"--pid-file={self.folder}/mariadb.pid"),
                    *("--bind-address=127.0.0.1", f"--port={self.port + 2}", "--skip-log-bin"),
                    *("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=32M"),
                    *("--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"),
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        sql = ("mariadb", "--no-defaults", f"--socket={socket_path}", "-u", "root", "-e")
        self._until("mariadb", *sql, "select 1")
        self.run(*sql, _SQL)
        self._daemon("slurmdbd")
        self._until("slurmdbd", "sacctmgr", "-n", "show", "cluster")
        self.run("sacctmgr", "-i", "add", "cluster", "throwaway", check=False)

    def _daemon(self, *command: str) -> None:
        # No pipe: a daemon would hold it open, and whoever reads it would wait for ever.
        with (self.folder / "log" / f"{command[0]}.start.log").open("ab") as log:
            subprocess.run(
                command,
                env=self.environment,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _until(self, what: str, *command: str) -> None:
        def answers() -> bool:
            ran = subprocess.run(command, env=self.environment, capture_output=True, check=False)
            return ran.returncode == 0

        wait_until(answers, 60, what)

    def _idle_nodes(self) -> int:
        shown = self.run("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N", check=False)
        return len(set(shown.split()))

    def _end(self, names: Sequence[str]) -> None:
        pids = []
        for name in names:
            file = self.folder / f"{name}.pid"
            if file.exists() and _alive(int(file.read_text())):
                pids.append(int(file.read_text()))
                os.kill(pids[-1], signal.SIGTERM)
        try:
            wait_until(lambda: not any(_alive(pid) for pid in pids), 15, "the daemons' end")
        except TimeoutError:
            for pid in filter(_alive, pids):
                os.kill(pid, signal.SIGKILL)


def why_not(accounting: bool = True) -> str | None:
    """Why this machine cannot run the cluster, or None if it can."""
    if os.geteuid() != 0:
        return "starting a SLURM needs root"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    wanted = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    missing = [name for name in wanted if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def wait_until(true: Callable[[], object], seconds: float, what: str, every_s: float = 0.2) -> None:
    """Poll until it is so; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds * PATIENCE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds * PATIENCE:.0f} s")
        time.sleep(every_s)


def _alive(pid: int) -> bool:
    try:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # the database is our child: a zombie until we ask
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    cluster = Cluster(Path(sys.argv[2]).absolute())
    {"start": cluster.start, "stop": cluster.stop}[sys.argv[1]]()
    if sys.argv[1] == "start":
        print(f"export SLURM_CONF={cluster.folder}/slurm.conf PATH=$PATH:/usr/sbin")
