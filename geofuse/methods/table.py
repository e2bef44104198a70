"""Which methods there are: geofuse's own, those of installed packages, and each network of `geofuse.nets.table`.

A new method is a file in a folder of `geofuse.methods` and a row here.
"""

from __future__ import annotations

import logging

from geofuse.errors import MethodError, PluginError
from geofuse.methods.base import Method
from geofuse.nets.table import NETWORKS, network_of
from geofuse.tables import Origin, Plugin, Row, Table

log = logging.getLogger(__name__)
BASELINE = "exp"
"""What every method's detail is measured against: upsampling alone."""
AUTO = "mtf-glp-hpm-r"
"""What "auto" means where the scene is not looked at."""
CANDIDATES = ("ridge", "mtf-glp-hpm-r", "gsa")
"""What "auto" chooses from by hold-out; the first where a scene is too small to choose by: best on every one so far."""


def _named(row: Row, made: Method) -> None:
    if made.about.name != row.name:
        raise PluginError(
            f"method {row.name!r} of {row.source} calls itself {made.about.name!r}", wanted="one name"
        )


METHODS: Table[Method] = Table(
    "geofuse.methods",
    (
        Row("exp", "geofuse.methods.sharpen.multires:EXP"),
        Row("brovey", "geofuse.methods.sharpen.substitution:BROVEY"),
        Row("ihs", "geofuse.methods.sharpen.substitution:IHS"),
        Row("pca", "geofuse.methods.sharpen.substitution:PCA"),
        Row("gs", "geofuse.methods.sharpen.substitution:GS"),
        Row("gsa", "geofuse.methods.sharpen.substitution:GSA"),
        Row("bt-h", "geofuse.methods.sharpen.substitution:BT_H"),
        Row("bdsd-pc", "geofuse.methods.sharpen.substitution:BDSD_PC"),
        Row("pracs", "geofuse.methods.sharpen.substitution:PRACS"),
        Row("hpf", "geofuse.methods.sharpen.multires:HPF"),
        Row("sfim", "geofuse.methods.sharpen.multires:SFIM"),
        Row("awlp", "geofuse.methods.sharpen.multires:AWLP"),
        Row("mtf-glp", "geofuse.methods.sharpen.multires:MTF_GLP"),
        Row("mtf-glp-fs", "geofuse.methods.sharpen.multires:MTF_GLP_FS"),
        Row("mtf-glp-hpm", "geofuse.methods.sharpen.multires:MTF_GLP_HPM"),
        Row("mtf-glp-hpm-r", "geofuse.methods.sharpen.multires:MTF_GLP_HPM_R"),
        Row("ridge", "geofuse.methods.sharpen.ridge:RIDGE"),
    ),
    noun="method",
    fault=MethodError,
    wants=("about", "passes", "collect", "fit", "halo", "apply"),
    test=_named,
)
"""Methods that need no weights."""


def names() -> tuple[str, ...]:
    """Return the names of all methods: those without weights, then the networks."""
    return tuple(row.name for row in rows())


def rows() -> tuple[Row, ...]:
    """Return the rows of all methods; PluginError where a method and a network have one name."""
    plain, networks = METHODS.rows(), NETWORKS.rows()
    for row in networks:
        if row.name in METHODS:
            first = METHODS.row(row.name)
            raise PluginError(
                f"{row.name!r} is a method of {first.source} and a network of {row.source}",
                wanted="a name in one package only",
                do=f"pip uninstall {first.package if row.package == 'geofuse' else row.package}",
            )
    return (*plain, *networks)


def get(name: str, *, origin: Origin | None = None) -> Method:
    """Return the method called ``name`` ("auto": the default); MethodError names the nearest otherwise.

    ``origin`` is the package that had it when it was chosen, where that is known: PluginError names it if it is gone.
    """
    key = AUTO if name == "auto" else name
    if not any(row.name == key for row in rows()):
        METHODS.row(key, origin=origin, also=("auto", *NETWORKS.names()))
    if key in NETWORKS:
        from geofuse.methods.sharpen.network_methods import method_of

        return method_of(network_of(key))
    return METHODS.load(key)


def usable() -> tuple[Method, ...]:
    """Return every method that can be chosen; a package's that cannot be loaded is left out and said in the log."""
    found: list[Method] = []
    for name in names():
        try:
            found.append(get(name))
        except PluginError as fault:
            log.warning("left out: %s", fault)
    return tuple(found)


def plugin(name: str) -> tuple[Plugin, ...]:
    """Return what a plan says of a method: nothing of geofuse's own."""
    return NETWORKS.plugin(name) if name in NETWORKS else METHODS.plugin(name)
