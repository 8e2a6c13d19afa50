"""What every sweep looks after here."""

from __future__ import annotations

from sellerlegend.applications import notices, upkeep
from sellerlegend.jobs import ledger
from sellerlegend.organizations import custody

ledger.register_sweeper(upkeep.look_after_secrets)
ledger.register_sweeper(notices.tell_staff)
custody.count_keys_of("client secrets", upkeep.wrapped_data_keys)
