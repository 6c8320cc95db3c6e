import pytest
from faceexp_executor_slurm import Slurm

from faceexp.testing import ExecutorContract


class TestSlurmContract(ExecutorContract):
    @pytest.fixture
    def plugin(self):
        return Slurm(cluster="local", at_once=2)
