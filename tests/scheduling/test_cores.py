import pytest

from appliance.scheduling.cores import LEAST, usable


def machine(root, cgroup, files):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


SERVICE = "0::/system.slice/appliance.service\n"
V1 = "9:name=systemd:/x\n3:cpu,cpuacct:/system.slice/a.service\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("", {}, 4.0),
        (SERVICE, {}, 4.0),
        (SERVICE, {"system.slice/appliance.service/cpu.max": "max 100000\n"}, 4.0),
        (SERVICE, {"system.slice/appliance.service/cpu.max": "150000 100000\n"}, 1.5),
        (SERVICE, {"system.slice/appliance.service/cpu.max": "900000 100000\n"}, 4.0),
        # the tightest group above counts
        (SERVICE, {"system.slice/cpu.max": "6000 10000", "system.slice/appliance.service/cpu.max": "max 10000"}, 0.6),
        (SERVICE, {"cpu.max": "20000 10000\n"}, 2.0),
        (SERVICE, {"unified/system.slice/cpu.max": "20000 10000\n"}, 2.0),
        (SERVICE, {"system.slice/appliance.service/cpu.max": "0 100000\n"}, LEAST),
        (SERVICE, {"system.slice/appliance.service/cpu.max": "nonsense\n"}, 4.0),
        (V1, {"cpu/system.slice/a.service/cpu.cfs_quota_us": "-1\n"}, 4.0),
        (
            V1,
            {
                "cpu/system.slice/a.service/cpu.cfs_quota_us": "60000\n",
                "cpu/system.slice/a.service/cpu.cfs_period_us": "100000\n",
            },
            0.6,
        ),
        (
            V1,
            {"cpu,cpuacct/system.slice/cpu.cfs_quota_us": "50", "cpu,cpuacct/system.slice/cpu.cfs_period_us": "25"},
            2.0,
        ),
    ],
)  # fmt: skip
def test_the_least_of_affinity_and_quotas(tmp_path, cgroup, files, cores):
    assert usable(machine(tmp_path, cgroup, files), affinity=4) == pytest.approx(cores)


def test_no_proc_at_all(tmp_path):
    assert usable(tmp_path, affinity=3) == 3.0


def test_the_machine_it_runs_on_has_some():
    assert usable() >= LEAST
