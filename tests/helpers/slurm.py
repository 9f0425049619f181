"""A real SLURM on this machine for tests: two nodes with a stand-in GPU each, which ends with what it started.

It needs root, Debian's slurmctld, slurmd, slurm-client and munge, and an empty /etc/slurm: Snakemake's executor hides
SLURM_CONF from the steps of a job, so the configuration must lie where programs look for it.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")
CONFIGURATION = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
NODES = ("n1", "n2")
PORT = 17800  # and those after it

SLURM_CONF = """\
ClusterName=mixdepth
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
MinJobAge=3600
ReturnToService=2
MpiDefault=none
KillWait=10
SlurmdParameters=config_overrides
GresTypes=gpu
PartitionName=main Nodes={nodes} Default=YES MaxTime=UNLIMITED State=UP
"""
NODE = "NodeName={name} NodeHostName={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=10000 Gres=gpu:1\n"


def unavailable() -> str | None:
    """Why no cluster can be started here; None where one can."""
    if os.getuid():
        return "SLURM's daemons need root"
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]:
        return f"SLURM is not installed ({', '.join(missing)} missing)"
    if there := [name for name in FILES if (CONFIGURATION / name).exists()]:
        return f"{CONFIGURATION / there[0]} exists, which tests would have to replace"
    return None


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """A running cluster with its state and logs in ``folder``, which must be absolute and short."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    host = socket.gethostname().split(".")[0]
    text = SLURM_CONF.format(host=host, port=PORT, folder=folder, nodes=",".join(NODES))
    gres = ""
    for index, name in enumerate(NODES):
        text += NODE.format(name=name, host=host, port=PORT + 1 + index)
        (folder / f"gpu{index}").touch()  # no device cgroup: a plain file stands for one
        gres += f"NodeName={name} Name=gpu File={folder}/gpu{index}\n"
    for name, content in zip(FILES, (text, gres, "CgroupAutomount=no\n"), strict=True):
        (folder / name).write_text(content)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    CONFIGURATION.mkdir(exist_ok=True)
    processes: list[subprocess.Popen] = []

    def start(*command: str) -> None:
        path = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin")
        log = (folder / f"{command[0]}.out").open("a")
        processes.append(subprocess.Popen([path, *command[1:]], stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    try:
        for name in FILES:
            (CONFIGURATION / name).symlink_to(folder / name)
        munge = [
            f"--{key}={folder}/munge.{key.split('-')[0]}" for key in ("key-file", "socket", "pid-file", "log-file")
        ]
        start("munged", "--foreground", "--force", *munge, f"--seed-file={folder}/munge.seed")
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        start("slurmctld", "-D")
        for name in NODES:
            start("slurmd", "-D", "-N", name)
        _wait(lambda: _idle() == len(NODES), folder)
        yield folder
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30)
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=3)
            process.kill()
            process.wait()
        for name in FILES:
            (CONFIGURATION / name).unlink(missing_ok=True)


def segment_jobs() -> list[dict[str, str]]:
    """Of every job that trained a segment its node, number of threads, and when it started and ended."""
    told = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], text=True, capture_output=True, check=True).stdout
    keys = {"node": "NodeList", "threads": "NumCPUs", "start": "StartTime", "end": "EndTime"}
    return [
        {name: re.search(rf" {key}=(\S+)", line)[1] for name, key in keys.items()}
        for line in told.splitlines()
        if "train_segment" in line
    ]


def _idle() -> int:
    """How many nodes are idle."""
    done = subprocess.run(["sinfo", "-h", "-N", "-o", "%t"], capture_output=True, text=True)
    return done.stdout.split().count("idle")


def _wait(true: object, folder: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            logs = "\n".join(f"{p.name}: {p.read_text(errors='replace')[-500:]}" for p in folder.glob("*.[ol][uo]*"))
            raise RuntimeError(f"SLURM did not start within {seconds:.0f} s\n{logs}")
        time.sleep(0.2)
