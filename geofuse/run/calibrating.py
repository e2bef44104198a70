"""From the pixels to a plan: calibration, hold-out, the choice of method and of back-projection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from geofuse.errors import MatchError
from geofuse.files import read_json
from geofuse.methods import table
from geofuse.methods.calibrate import MATCH_R2, SURE, Estimate, calibrate
from geofuse.methods.hold_out import Reduced, Trial, best_of, reduce_window, try_methods
from geofuse.methods.observation import Observation
from geofuse.methods.registration import calibration_reach
from geofuse.rasters import ledger
from geofuse.run.findings import Findings, from_report, report, with_report
from geofuse.run.network_gate import Gate
from geofuse.run.plans.headers import Headers, headers_of
from geofuse.run.plans.inputs import check_unchanged
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.planning import check_out, make_plan, plan_on
from geofuse.run.plans.request import Request, changed, selection
from geofuse.run.progress import Progress, silent
from geofuse.run.records.documents import CalibrationReport, TrialReport
from geofuse.run.records.product_files import read_record
from geofuse.run.sampling import of_one_guide, read_sample, sample_cores, with_bands
from geofuse.scenes.bands import select_bands
from geofuse.scenes.scene import Scene
from geofuse.version import __version__

ROUNDS = 3
MOST_BANDS = 16
"""Bands that take part in the regression: enough for any sensor but hyperspectral ones."""


def calibrated_plan(
    scene: Scene, request: Request, out: Path | None = None, *, progress: Progress = silent
) -> Plan:
    """Plan with what the pixels say: observation model, no-harm shares, method, rounds of back-projection.

    What an earlier run of the same inputs for `out` found is taken over. Raises MatchError where the images
    do not show the same place (`force`: goes on), ChangedError, and what `make_plan` raises.
    """
    headers = headers_of(scene, request)
    plan = plan_on(headers, request)
    if out is not None:
        check_out(plan, out.absolute())
    if not request.fuse.calibrate:
        return _settled(plan)
    key = _key(plan, request)
    found = _known(out, key) or _findings(plan, headers, request, key=key, progress=progress)
    check_unchanged(plan.inputs)  # what was looked at is what will be fused
    return _settled(plan_on(headers, request, found))


def plan_of_findings(scene: Scene, request: Request, found: Findings | None) -> Plan:
    """Plan with what was found before; None: without calibration."""
    return _settled(make_plan(scene, request, found))


def _settled(plan: Plan) -> Plan:
    """Settle the precision of a network, which the scene's pixels decide; other plans stay what they are."""
    if plan.options.network is None:
        return plan
    from geofuse.run.networks import settled

    return settled(plan)


def calibrate_scene(scene: Scene, request: Request) -> CalibrationReport:
    """Estimate the observation model of a scene; returns the report, JSON values. Raises MatchError as above."""
    plan, names = _calibration_plan(headers_of(scene, request), request)
    estimate, _, _ = _estimate(plan, request)
    return report(estimate, names, request)


def _key(plan: Plan, request: Request) -> str:
    """Return what identifies the findings: the inputs, and all that was asked but encoding and work."""
    asked = {**selection(request), **asdict(request.fuse), "device": request.work.device}
    weights = plan.options.network.sha256 if plan.options.network else None
    text = json.dumps([__version__, plan.inputs, asked, plan.area, weights], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _known(out: Path | None, key: str) -> Findings | None:
    """Return what an earlier run, finished or not, found for the same inputs."""
    if out is None:
        return None
    record, kept = read_record(ledger.json_path(out)), read_json(ledger.parts_dir(out) / "ledger.json")
    recorded = record.get("calibration") if record else None
    prepared: CalibrationReport | None = (kept.get("prepared") or kept).get("calibration") if kept else None
    for calibration in (recorded, prepared):
        if calibration and calibration.get("key") == key:
            return from_report(calibration)
    return None


def _findings(plan: Plan, headers: Headers, request: Request, *, key: str, progress: Progress) -> Findings:
    wide, names = _calibration_plan(headers, request)
    estimate, cores, windows = _estimate(wide, request, progress)
    found = report(estimate, names, request)
    places = [names.index(name) for name in plan.options.names]
    observation = _used(estimate, request, plan, places)
    rounds = _rounds(estimate, request)
    about = table.get(request.fuse.method).about
    method = about.name
    gate = Gate(about, observation.mtf_gain) if about.rival else None
    trials = _trials(plan, observation, windows, request, places=places, rounds=rounds, watch=gate)
    if request.fuse.method == "auto":
        method = best_of(trials) or (table.CANDIDATES[0] if estimate.confidence >= SURE else method)
    shares = trial.shares if (trial := trials.get(method)) else ()
    network_shares: tuple[float, ...] = ()
    if gate is not None:
        method, network_shares = gate.decide(found)
        shares = gate.kept(trials, network_shares) or shares
    progress("calibrate", 2 * _pixels(cores), 2 * _pixels(cores), 0)
    held_out = {name: cast(TrialReport, asdict(one)) for name, one in trials.items() if one}
    return with_report(
        Findings(method, observation, shares, rounds, cores, network_shares=network_shares),
        {**found, "key": key, "hold_out": held_out},
    )


def _calibration_plan(headers: Headers, request: Request) -> tuple[Plan, list[str]]:
    """Plan for reading the bands that take part: those asked for and the sensor's default ones."""
    asked = select_bands(headers.scene, request.scene.bands)
    default = select_bands(headers.scene, None)
    extra = [index for index in default if index not in asked]
    if len(asked) + len(extra) > MOST_BANDS:
        extra = extra[: max(0, MOST_BANDS - len(asked))]
    indices = [*asked, *extra]
    names = [headers.relation.target.bands[index].name for index in indices]
    asked_of_all = changed(request, {"bands": names, "method": table.BASELINE, "weights": None})
    return plan_on(headers, asked_of_all), names


def _estimate(
    plan: Plan, request: Request, progress: Progress = silent
) -> tuple[Estimate, tuple[tuple[int, int, int, int], ...], list[Any]]:
    """Read the sample and estimate; returns the estimate, the windows' cores, and what was read."""
    cores = sample_cores(plan)
    reach = calibration_reach(plan.options.largest_ratio or plan.options.ratio)
    windows, pixels = [], 0
    for core in cores:
        progress("calibrate", pixels, 2 * _pixels(cores), 0)
        windows.append(read_sample(plan, core, reach))
        pixels += _pixels([core])
    progress("calibrate", pixels, 2 * _pixels(cores), 0)
    gains = plan.pair.observation.mtf_gain
    strongest = _spread(len(gains))
    found = calibrate(
        [with_bands(of_one_guide(patch), strongest) for patch, _ in windows],
        [usable for _, usable in windows],
        prior_gain=[gains[index] for index in strongest],
        origin=plan.pair.origin,
        size=(plan.grid.height, plan.grid.width),
    )
    if len(strongest) < len(gains):
        found = _spread_out(found, strongest, len(gains))
    if found.measured and found.r2 < MATCH_R2 and not request.fuse.force:
        raise MatchError(
            f"PAN and MS do not show the same: R^2 {found.r2:.3f} of PAN's detail on the bands' at the best shift "
            f"({found.shift_px[0]:.1f}, {found.shift_px[1]:.1f}) px",
            wanted=f"R^2 of {MATCH_R2:g} or more",
            do="check that both are of one scene; --force goes on, --no-calibrate does not look",
            path=plan.pair.guide.bands[0].path,
        )
    return found, cores, windows


def _pixels(cores: Sequence[tuple[int, int, int, int]]) -> int:
    return sum((row1 - row0) * (col1 - col0) for row0, row1, col0, col1 in cores)


def _spread(count: int) -> list[int]:
    """Return the bands that take part in the regression: all, or so many spread over them."""
    if count <= MOST_BANDS:
        return list(range(count))
    return sorted({round(index * (count - 1) / (MOST_BANDS - 1)) for index in range(MOST_BANDS)})


def _spread_out(found: Estimate, chosen: Sequence[int], count: int) -> Estimate:
    """Give each band that did not take part what its nearest neighbour that did got; no PAN weight."""
    near = [min(range(len(chosen)), key=lambda at: abs(chosen[at] - band)) for band in range(count)]
    place = {band: at for at, band in enumerate(chosen)}
    return replace(
        found,
        band_shift_px=tuple(found.band_shift_px[at] for at in near),
        mtf_gain=tuple(found.mtf_gain[at] for at in near),
        mtf_gain_sigma=tuple(found.mtf_gain_sigma[at] for at in near),
        mtf_gain_r2=tuple(found.mtf_gain_r2[at] for at in near),
        identifiable=tuple(band in place and found.identifiable[place[band]] for band in range(count)),
        pan_weights=tuple(found.pan_weights[place[b]] if b in place else 0.0 for b in range(count)),
    )


def _used(estimate: Estimate, request: Request, plan: Plan, places: Sequence[int]) -> Observation:
    """Return the model that is used for the output's bands: the estimate where it is sure, else the priors."""
    sure = estimate.confidence >= SURE
    gains = estimate.mtf_gain if sure else plan.pair.observation.mtf_gain
    gains = tuple(round(float(gains[place if sure else at]), 4) for at, place in enumerate(places))
    if request.fuse.shift_px is not None:
        return Observation(gains, request.fuse.shift_px, (), "given shift")
    if not sure:
        return Observation(gains, (0.0, 0.0), (), "sensor table and georeference")
    shift = _rounded(estimate.shift_px)
    bands = tuple(_rounded(estimate.band_shift_px[place]) for place in places)
    own = () if set(bands) == {shift} else bands
    return Observation(gains, shift, own, "calibration", estimate.field)


def _rounded(shift: tuple[float, float]) -> tuple[float, float]:
    """Round to a thousandth of what can be measured, so that the record is readable and exact."""
    return round(shift[0], 4), round(shift[1], 4)


def _rounds(estimate: Estimate, request: Request) -> int:
    if request.fuse.back_projections is not None:
        return request.fuse.back_projections
    if estimate.confidence >= SURE:
        return ROUNDS
    return 1 if estimate.confidence >= 0.5 * SURE else 0


def _trials(
    plan: Plan,
    observation: Observation,
    windows: Sequence[Any],
    request: Request,
    *,
    places: Sequence[int],
    rounds: int,
    watch: Gate | None = None,
) -> dict[str, Trial | None]:
    """Hold out: the method asked for, beside its rival and shown to the gate, or all that `auto` chooses from."""
    reduced: list[Reduced] = []
    for patch, usable in windows:
        one = reduce_window(with_bands(patch, list(places)), usable, observation)
        if one is not None:
            reduced.append(one)
    names = (
        table.CANDIDATES if request.fuse.method == "auto" else (table.get(request.fuse.method).about.name,)
    )
    if watch is not None:
        names = (*names, watch.about.rival)
    if not reduced or names == (table.BASELINE,):
        return {}
    return try_methods(names, reduced, observation, options=plan.options, rounds=rounds, watch=watch)
