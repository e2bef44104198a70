"""One description of each option: every door has it, what is not heard is refused, naming who would."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from geofuse.commands.parsing import Parser, add_options, given
from geofuse.config import RunConfig, config_from
from geofuse.config.option import Option, flag_words, key_words, options_of
from geofuse.config.sections import SECTIONS, SceneOptions, every_option
from geofuse.errors import GeofuseError, UsageError
from geofuse.methods import table
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.rasters.cog.spec import LEVELS, PREDICTED, CogSpec
from geofuse.run.plans.plan import fingerprint
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import RequestKeywords, make_request, request_from, request_of, value_of
from geofuse.scenes.opening import open_pair

METHODS = ("auto", *table.names())
BY_METHOD = {"weights": (4.0, 1.0, 1.0, 1.0), "network": "any-x4", "device": "cpu", "adapt": True}
"""A value other than the default of each option that only some methods hear."""
CODECS = ("zstd", "deflate", "lzw", "none", "lerc")
BY_CODEC = {"level": 2, "predictor": "none", "max_error": 0.5}


def heard_by(method: str) -> frozenset[str]:
    """Say what must be heard, told apart from the code that refuses."""
    if method == "auto":
        return frozenset()
    return table.get(method).about.hears


def test_the_table_of_the_test_is_whole() -> None:
    assert set(BY_METHOD) == {each.name for each in every_option().values() if each.by_method}
    codec = {each.name for each in every_option().values() if each.needs and each.needs.option == "compress"}
    assert set(BY_CODEC) == codec
    named = {name for method in METHODS[1:] for name in table.get(method).about.hears}
    assert named <= set(BY_METHOD), "a method hears an option that no door has"
    assert set(BY_METHOD) <= named, "a door has an option that no method hears"


@pytest.mark.parametrize("name", BY_METHOD)
def test_every_option_is_heard_by_a_method_or_refused_naming_who_would(
    pair: SimulatedPair, name: str
) -> None:
    for method in METHODS:
        _heard_or_refused(pair, name, method)


def _heard_or_refused(pair: SimulatedPair, name: str, method: str) -> None:
    asked = {"method": method, name: BY_METHOD[name]}
    if name not in heard_by(method) and (method, name) != ("auto", "adapt"):
        for words in (flag_words, key_words):
            with pytest.raises(UsageError) as caught:
                request_from(asked, words)
            assert caught.value.exit_status == 2
            for other in METHODS[1:]:
                assert (f"{other}," in str(caught.value) or f"{other} or" in str(caught.value)) == (
                    name in heard_by(other)
                )
        return
    assert value_of(request_from(asked), every_option()[name]) == BY_METHOD[name]
    if name == "weights":  # heard: it changes what is made, and what identifies it
        scene = open_pair(str(pair.pan), [str(pair.ms)])
        plain, other = (
            fingerprint(make_plan(scene, make_request(method=method, weights=weights)), "0")
            for weights in (None, (4.0, 1.0, 1.0, 1.0))
        )
        assert plain != other


def test_networks_hear_what_they_are_told(pair: SimulatedPair, tmp_path: Path) -> None:
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    with pytest.raises(GeofuseError, match=r"none\.safetensors"):
        make_plan(scene, make_request(method="pan-gan-ms", network=tmp_path / "none.safetensors"))
    with pytest.raises(GeofuseError, match="moon"):
        make_plan(scene, make_request(method="pan-gan-ms", device="moon"))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", BY_CODEC)
def test_every_option_of_the_encoding_is_heard_by_a_codec_or_refused(
    pair: SimulatedPair, name: str, codec: str
) -> None:
    needs = every_option()[name].needs
    assert needs is not None
    if codec in needs.values:
        scene = open_pair(str(pair.pan), [str(pair.ms)])
        asked = {"method": "exp", "compress": codec, "validity": "mask"}
        plans = [make_plan(scene, request_from(each)) for each in (asked, {**asked, name: BY_CODEC[name]})]
        assert fingerprint(plans[0], "0") != fingerprint(plans[1], "0")
    else:
        with pytest.raises(UsageError, match=f"{name} with compress"):
            request_from({"compress": codec, name: BY_CODEC[name]})


HEARD_BY_ALL = {
    **{"method": "gsa", "bands": ["2", "1"], "nodata": 7.0, "window": (0, 0, 512, 512)},
    **{"shift_px": (0.5, 0.0), "back_projections": 2, "compress": "lzw", "interleave": "band"},
    **{"validity": "alpha", "sparse": True, "bigtiff": True, "attribution": "me"},
}
WORK = {"workers": 1, "tile_px": 2048, "memory": 2**40, "scheduler": "serial", "retries": 1, "backoff": 1.0}
"""What changes nothing of a product."""
MEASURES = {"calibrate", "force"}
"""What is heard before the plan is made for good."""
FILES = {"path", "pan", "ms", "bbox", "aoi"}
"""What says which pixels in another way."""


def test_all_other_options_are_known_to_be_heard() -> None:
    known = {*HEARD_BY_ALL, *WORK, *MEASURES, *FILES, *BY_METHOD, *BY_CODEC}
    assert known == {*every_option(), "attribution"}


@pytest.mark.parametrize(
    "name", [*HEARD_BY_ALL, *(name for name in WORK if name not in ("retries", "backoff"))]
)
def test_an_option_that_all_hear_changes_the_product_or_is_work(pair: SimulatedPair, name: str) -> None:
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    base = {"method": "brovey", "calibrate": False, "validity": "mask", "workers": 2, "memory": 2**39}
    first, second = (
        fingerprint(make_plan(scene, request_from(asked)), "0")
        for asked in (base, {**base, name: {**HEARD_BY_ALL, **WORK}[name]})
    )
    assert (first == second) == (name in WORK)


def test_codecs_hear_what_the_writer_does() -> None:
    options = every_option()
    assert options["level"].needs is not None
    assert set(options["level"].needs.values) == set(LEVELS)
    assert options["predictor"].needs is not None
    assert set(options["predictor"].needs.values) == set(PREDICTED)


def test_a_default_stands_once() -> None:
    spec = {each.name: each.default for each in fields(CogSpec)}
    told = {each.name: each for section in SECTIONS for each in options_of(section)}
    for name in ("compress", "level", "predictor", "max_error", "interleave", "validity", "sparse"):
        assert spec[name] == told[name].default
    config, request = RunConfig(), request_from({})
    for option in told.values():
        assert (
            value_of(request, option)
            == option.default
            == getattr(getattr(config, option.section), option.name)
        )


def test_keywords_of_python_are_the_options() -> None:
    told = every_option()
    keywords = get_type_hints(RequestKeywords)
    apart = {"path", "pan", "ms", "retries", "backoff"}
    assert set(keywords) == (set(told) - apart) | {"attribution"}
    for name in set(keywords) - {"attribution"}:
        hint, kind = str(keywords[name]), told[name].kind
        wanted = {"switch": "bool", "whole": "int", "number": "float", "size": "int", "numbers": "float"}
        assert wanted.get(kind, "") in hint, name
        assert ("None" in hint) == (told[name].default is None), name
        assert all(f"'{choice}'" in hint for choice in told[name].choices), name


WRONG = [
    ({"compress": "zip"}, "zstd, deflate"),
    ({"workers": 0}, "1 or more"),
    ({"workers": 1.5}, "whole number"),
    ({"workers": True}, "whole number"),
    ({"back_projections": -1}, "0 or more"),
    ({"memory": "lots"}, "4GiB"),
    ({"memory": -4}, "4GiB"),
    ({"calibrate": 1}, "True or False"),
    ({"shift_px": (1.0,)}, "2 numbers"),
    ({"shift_px": (1.0, math.nan)}, "finite"),
    ({"bands": "red"}, "a list"),
    ({"method": 3}, "text"),
    ({"metod": "gsa"}, "unknown option"),
    ({"force": True, "calibrate": False}, "calibrate=True"),
    ({"adapt": True, "method": "ridge"}, "pan-gan-ms"),
    ({"adapt": True, "calibrate": False}, "calibrate=True"),
]


@pytest.mark.parametrize(("asked", "says"), WRONG)
def test_python_and_the_command_line_refuse_the_same(asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        request_from(asked)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fuse": {"method": "gsa", "weights": [1, 2, 3, 4]}}, "fuse.weights with fuse.method: gsa"),
        ({"work": {"device": "cuda"}}, "work.device with fuse.method: auto"),
        ({"encode": {"compress": "none", "level": 3}}, "encode.level with encode.compress: none"),
        ({"fuse": {"calibrate": False, "force": True}}, "fuse.force with fuse.calibrate: false"),
        ({"work": {"tls": {"ca": "a", "cert": "b", "key": "c"}}}, "work.tls"),
    ],
)
def test_configurations_refuse_what_nobody_hears(values: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        request_of(config_from(values))
    assert says in str(caught.value)


def parser_of(options: tuple[Option, ...]) -> Parser:
    parser = Parser(prog="x")
    add_options(parser, options)
    return parser


NUMBERS = [
    each for each in every_option().values() if each.flag and each.kind in ("number", "numbers", "wholes")
]


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
@pytest.mark.parametrize("text", ["-3.4e38", "-1E-3", "-2", "-.5", "-7.", "+1e+2", "-inf"])
def test_numbers_with_a_minus_and_an_exponent_are_numbers(option: Option, text: str) -> None:
    if option.kind == "wholes":
        text = "-2"
    count = option.count or (2 if option.kind == "numbers" else 1)
    wanted = [float(text), *[2.0] * (count - 1)]
    forms = [[",".join([text, *["2"] * (count - 1)])]]
    if option.count:
        forms.append([text, *["2"] * (count - 1)])
    for words in [*([option.flag, *form] for form in forms), [f"{option.flag}={forms[0][0]}"]]:
        found = getattr(parser_of((option,)).parse_args(words), option.name)
        assert (list(found) if option.kind != "number" else [found]) == wanted, words


@pytest.mark.parametrize(
    "option", [each for each in every_option().values() if each.flag], ids=lambda each: each.name
)
def test_nothing_is_given_twice_in_silence(option: Option) -> None:
    word = {"whole": ["1"], "number": ["1"], "size": ["1g"]}.get(option.kind, ["1"] * (option.count or 1))
    words = [option.flag, *word, option.flag, *word]
    if option.kind == "places":
        assert len(getattr(parser_of((option,)).parse_args(words), option.name)) == 2
    else:
        with pytest.raises(UsageError, match="second time"):
            parser_of((option,)).parse_args(words)


def test_what_is_not_given_is_not_there() -> None:
    options = tuple(every_option().values())
    assert given(parser_of(options).parse_args([]), options) == {}
    told = given(parser_of(options).parse_args(["S", "--no-calibrate", "--mask", "--sparse"]), options)
    assert told == {"path": "S", "calibrate": False, "validity": "mask", "sparse": True}
    assert {each.name for each in options_of(SceneOptions)} >= {"path", "pan", "ms", "bbox"}
