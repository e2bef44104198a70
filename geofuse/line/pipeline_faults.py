"""Which faults a later attempt may cure, and how they are told."""

from __future__ import annotations

from geofuse.errors import ChangedError, GeofuseError
from geofuse.line.answers import FaultDocument


def may_retry(fault: BaseException) -> bool:
    """Say whether the same stage may succeed later: storage, lost workers, a full disk; not bad input."""
    if isinstance(fault, ChangedError):
        return False  # other inputs are another scene: whoever finds scenes must look again
    return isinstance(fault, GeofuseError) and (fault.exit_status == 4 or fault.code == "disk")


def fault_to_json(fault: GeofuseError) -> FaultDocument:
    """Turn a fault into JSON values."""
    return {
        "code": fault.code,
        "message": str(fault),
        "do": fault.do,
        "exit_status": fault.exit_status,
        "may_retry": may_retry(fault),
    }
