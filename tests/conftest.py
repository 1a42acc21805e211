"""Hypothesis: the same examples on every run, and no deadline, because a board under load is slow.

Look for new examples with ``pytest --hypothesis-profile=explore``.
"""

from hypothesis import HealthCheck, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, max_examples=50, suppress_health_check=SLOW
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=SLOW)
settings.load_profile("steady")
