import pytest
from pydantic import ValidationError

from workers.settings import WorkerSettings


def test_the_data_folder_is_in_home_unless_it_is_given(tmp_path):
    assert WorkerSettings(home=tmp_path).data_folder == tmp_path / "data"
    assert WorkerSettings(home=tmp_path, data_root=tmp_path / "mine").data_folder == tmp_path / "mine"


def test_a_local_ray_gets_all_cores_unless_some_are_given(tmp_path):
    assert WorkerSettings(home=tmp_path).local_cpus >= 1
    assert WorkerSettings(home=tmp_path, cpus=3).local_cpus == 3


def test_a_heartbeat_that_is_slower_than_the_lease_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"SAFS_HEARTBEAT_S \(10\) must be at most half of SAFS_LEASE_S \(15\)"):
        WorkerSettings(home=tmp_path, heartbeat_s=10, lease_s=15)


def test_a_ray_client_address_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ValidationError, match=r"SAFS_RAY_ADDRESS is 'ray://head:10001'.*set SAFS_RAY_ADDRESS=auto"):
        WorkerSettings(home=tmp_path, ray_address="ray://head:10001")
