"""Each network as a method: what its row says of it, behind the protocol of the grid it works on."""

from __future__ import annotations

from geofuse.methods.base import About, Method, Takes
from geofuse.methods.sharpen.fine_network import FineNetwork
from geofuse.methods.sharpen.ms_network import MsNetwork
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.nets.table import Network


def method_of(network: Network) -> Method:
    """Return the method that fuses with weights of a network."""
    coarse = network.grid == "coarse"
    about = About(
        network.name,
        "network",
        network.paper,
        network.title,
        Takes(ratios=network.ratios, whole_ratios=coarse),
        hears=frozenset({"network", "device"} | ({"adapt"} if network.adapts else set())),
        sampled=coarse,
        network=True,
        rival=RIDGE.about.name,
        yields=network.yields,
    )
    return MsNetwork(about) if coarse else FineNetwork(about)
