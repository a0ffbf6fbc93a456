"""What every route of the API takes and gives, of all packages: for its description, which few ever ask for."""

from __future__ import annotations

from inbox import operations as inbox_operations
from inbox import search_operations
from outbox import operations as outbox_operations
from router import operations as router_operations

DESCRIPTIONS = {
    **inbox_operations.OPERATIONS,
    **outbox_operations.OPERATIONS,
    **router_operations.OPERATIONS,
    **search_operations.OPERATIONS,
}
