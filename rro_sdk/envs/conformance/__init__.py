"""Whether an environment keeps the contract of `rro_sdk.envs.base`: a kit for anybody's.

report = await check(MyEnvironment(), tasks)
assert report.ok, report.lines()
"""

from rro_sdk.envs.conformance.kit import CheckSettings, Commands, Report, Verdict, check

__all__ = ["CheckSettings", "Commands", "Report", "Verdict", "check"]
