"""The settings of what the built-in satellites may do, among `Settings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from state_manager.config_limits import LimitSettings
from state_manager.setting import networks, programs, setting

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class SatelliteSettings(LimitSettings):
    """Limits on the networks, folders and programs that satellites may reach from a worker."""

    allow_private_addresses: tuple[IPv4Network | IPv6Network, ...] = setting(
        "ALLOW_PRIVATE_ADDRESSES",
        "workers.allow_private_addresses",
        "",
        networks,
        "networks beside the public internet that `call-webhook` and its like may reach, such as `10.0.0.0/8`",
    )
    run_commands: tuple[str, ...] = setting(
        "RUN_COMMANDS",
        "workers.run_commands",
        "",
        programs,
        "programs that `run-command` may start, names or absolute paths, separated by commas; default: none",
    )
