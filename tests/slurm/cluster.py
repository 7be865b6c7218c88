"""A Slurm of our own: munged, slurmctld and two slurmd that pretend to be two nodes, all on this machine.

Everything is in one folder and on ports that were free, so it meets neither a Slurm that is installed here nor another
test's. `with Cluster(folder) as cluster:` starts it in seconds and ends every process of it, jobs included, whatever
happened in between. To try things by hand, as root: python3 -B tests/slurm/cluster.py FOLDER, until Ctrl-C.

  partition `night`   the default; its jobs are preempted by those of `day`, which gives them GRACE_S, and requeued
  partition `spare`   the same without grace
  partition `day`     goes before both

A process of its own, the keeper, is the ancestor of all of them: it collects the orphans, and ends all when it is told
to or the test dies.
"""

import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from driving import Skipped, check  # noqa: E402

DAEMONS = ("munged", "slurmctld", "slurmd")
TOOLS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "srun", "setpriv")
NODES = ("n1", "n2")
CPUS = 4  # of a node; pretended
GRACE_S = 20
START_S = 60  # a busy machine; 2 s on an idle one
PR_SET_CHILD_SUBREAPER = 36
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")

SLURM_CONF = """\
ClusterName=tercet
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
# cred_expire: a requeued job waits for so long before it may start; usually 120 s.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n/spool
# PMIx makes its folder here; in /tmp, those of two nodes and of two clusters would be one.
TmpFS={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
MinJobAge=3600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus}
PartitionName=night Nodes=n[1-2] Default=YES PriorityTier=1 GraceTime={grace}
PartitionName=spare Nodes=n[1-2] PriorityTier=1
PartitionName=day Nodes=n[1-2] PriorityTier=10 PreemptMode=OFF
"""


def free_ports(count):
    """Ports below those that the kernel hands out to connections, free at this moment."""
    ports = []
    while len(ports) < count:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def wait_until(condition, seconds, what):
    """The first value of condition() that is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"{seconds} s without {what() if callable(what) else what}")
        time.sleep(0.2)


def environment_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or going
        return []


def descendants(pid):
    found = []
    for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
        except OSError:
            pass
    return found


def executable(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def own_environment(folder):
    """Nothing of a Slurm in which the test itself may run, and root's folders, where the daemons are."""
    outer = ("SLURM", "SBATCH", "SRUN", "PMI")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(outer)}
    return {**inherited, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "SLURM_CONF": f"{folder}/slurm.conf",
            "CUDA_VISIBLE_DEVICES": ""}


class Cluster:
    def __init__(self, folder):
        """Throws Skipped where there can be none."""
        self.folder = pathlib.Path(folder).resolve()
        self.environment = own_environment(self.folder)
        self.keeper = None
        if os.geteuid() != 0:
            raise Skipped("only root can start a Slurm of its own")
        missing = [name for name in DAEMONS + TOOLS if not shutil.which(name, path=self.environment["PATH"])]
        if missing:
            raise Skipped(f"no {', '.join(missing)} (launch/test.sh installs Slurm on Debian and Ubuntu, unless there is one)")

    def __enter__(self):
        # Should the test be killed outright, its keeper is told.
        self.keeper = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", sys.executable, "-B", __file__, str(self.folder)],
                                       env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until(self._has_idle_nodes, START_S, lambda: "two idle nodes" + last_words(self.folder))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.keeper.terminate()
        self.keeper.wait(timeout=60)

    def _has_idle_nodes(self):
        check(self.keeper.poll() is None, f"the cluster does not start{last_words(self.folder)}")
        done = subprocess.run(["sinfo", "-h", "-o", "%T %D", "-p", "night"], env=self.environment, capture_output=True, text=True)
        return done.stdout.split() == ["idle", str(len(NODES))]

    def run(self, *command, ok=(0,), **environment):
        """The output of one of Slurm's commands."""
        done = subprocess.run([str(word) for word in command], env={**self.environment, **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60)
        check(done.returncode in ok, f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}\n{done.stdout}")
        return done.stdout

    def job(self, number):
        """What Slurm knows of a job (12) or an element of an array (12_3)."""
        text = self.run("scontrol", "show", "job", "--oneliner", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def wait_for_end(self, number, seconds):
        """What Slurm knows of the job once it is over, and not only waiting for its next attempt."""
        job = {}

        def ended():
            job.update(self.job(number))
            return job["JobState"] in OVER
        wait_until(ended, seconds, lambda: f"the end of job {number}, which is {job['JobState']} ({job['Reason']})")
        return job

    def processes(self, number, program):
        """Ids of the processes of a job (of an element: its own number) that run this program, oldest first."""
        return [pid for pid in sorted(descendants(self.keeper.pid)) if executable(pid) == os.path.realpath(program)
                and f"SLURM_JOB_ID={number}".encode() in environment_of(pid)]


# --- the keeper ---------------------------------------------------------------------------------------------------

def write_files(folder):
    host = socket.gethostname().split(".")[0]
    text = SLURM_CONF.format(host=host, folder=folder, ports=free_ports(3), cpus=CPUS, grace=GRACE_S)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text(text)
    # Nothing here uses cgroups; looking for the right kind fails where none are mounted, as in some containers.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    for node in NODES:
        (folder / node / "spool").mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)


def start_daemon(folder, log, *command):
    with open(folder / f"{log}.out", "wb") as output:
        return subprocess.Popen(list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def start_daemons(folder):
    """Their processes."""
    # --force: without it munged wants its socket to be in reach of everybody, and ours is for root alone.
    munged = start_daemon(folder, "munged", "munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
                          f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
                          f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed")
    wait_until(lambda: munged.poll() is not None or (folder / "munge.socket").exists(), START_S, "the socket of munged")
    check(munged.poll() is None, "munged does not start")
    controller = start_daemon(folder, "slurmctld", "slurmctld", "-D", "-c", "-f", folder / "slurm.conf")
    nodes = [start_daemon(folder, f"slurmd-{node}", "slurmd", "-D", "-N", node, "-f", folder / "slurm.conf")
             for node in NODES]
    return [munged, controller, *nodes]


def last_words(folder):
    return "".join(f"\n--- {file.name}\n{file.read_text(errors='replace')[-1000:]}" for file in sorted(folder.glob("*.out")))


def end_descendants():
    """Kills every process that comes from this one, and waits until the last is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def keep(folder):
    # Daemons of daemons, such as the shepherd of each job step, become our children when their parents end.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        write_files(folder)
        daemons = {daemon.pid for daemon in start_daemons(folder)}
        print(f"export SLURM_CONF={folder}/slurm.conf", flush=True)
        while os.wait()[0] not in daemons:  # a zombie would look to Slurm like a process that does not end
            pass
        sys.exit("a daemon has ended")
    except KeyboardInterrupt:
        pass
    finally:
        end_descendants()


if __name__ == "__main__":
    os.environ.update(own_environment(pathlib.Path(sys.argv[1]).resolve()))
    keep(pathlib.Path(sys.argv[1]).resolve())
