"""SGLang servers on a Ray cluster: placed, watched, made anew; and checkpoints on nodes' own disks.

The caller has joined the cluster (`rro_sdk.cluster.joining`).
"""

from servers.cluster.delivery import stage_checkpoint
from servers.cluster.layout import Layout
from servers.cluster.serving import RayServers

__all__ = ["Layout", "RayServers", "stage_checkpoint"]
