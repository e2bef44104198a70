/** The values of the pixel that was clicked: fused and input, as numbers stored and as physical values. */

import { FEW_BANDS, position, significant } from "../format.ts";
import { current, sample, shownBands } from "../store.ts";
import type { PointBand, PointValues } from "../types.ts";
import { IconButton, Trouble } from "./controls.tsx";

export function PixelCard() {
  const at = sample.value;
  if (!at) return null;
  const values = at.values;
  return (
    <aside class="pixelcard" aria-label="Pixel values">
      <div class="head">
        <div>
          <b>{values.state === "ready" ? `Row ${values.value.row}, column ${values.value.col}` : "Pixel"}</b>
          <span>{position(at.lon, at.lat, 5)}</span>
        </div>
        <IconButton icon="close" label="Close pixel values" onClick={() => (sample.value = null)} />
      </div>
      {values.state === "failed" && <Trouble fault={values.fault} />}
      {values.state === "loading" && <div class="skeleton block" />}
      {values.state === "ready" && (values.value.valid ? <><Values values={values.value} /><Mask values={values.value} /></> : <p class="quiet">No data here.</p>)}
    </aside>
  );
}

/** What the mask says: its flags, and that colours beside a cloud are not the ground's. */
function Mask({ values: { mask } }: { values: PointValues }) {
  if (!mask || (mask.flags.length === 0 && !mask.cloud_edge)) return null;
  return (
    <div class="maskwords">
      {mask.flags.length > 0 && <p><b>Mask</b> {mask.flags.join(", ")}</p>}
      {mask.cloud_edge && <p><b>Edge of a cloud</b> Colour fringes here are parallax: clouds are high above the ground, and each band looks at them from another place. They are in the input too.</p>}
    </div>
  );
}

function Values({ values }: { values: PointValues }) {
  const many = values.bands.length > FEW_BANDS;
  const shown = values.bands.filter((band) => shownBands.value.includes(band.name));
  if (!many) return <><Table values={values} bands={values.bands} /><Spectrum values={values} /></>;
  return (
    <>
      <Table values={values} bands={shown} />
      <Spectrum values={values} />
      <details class="many"><summary>All {values.bands.length} bands</summary><Table values={values} bands={values.bands} /></details>
    </>
  );
}

function Table({ values, bands }: { values: PointValues; bands: PointBand[] }) {
  const scene = current.value;
  const unit = scene?.bands.find((band) => band.unit)?.unit ?? null;
  const physical = unit !== "DN" && values.bands.some((band) => band.physical !== null);
  const input = values.bands.some((band) => band.input_dn !== null);
  const name = physical ? (unit ?? "physical") : null;
  return (
      <table>
        <thead>
          <tr><th rowSpan={2} scope="col">Band</th><th colSpan={physical ? 2 : 1} scope="colgroup">Fused</th>{input && <th colSpan={physical ? 2 : 1} scope="colgroup">Input</th>}</tr>
          <tr><th scope="col">DN</th>{name && <th scope="col">{name}</th>}{input && <th scope="col">DN</th>}{input && name && <th scope="col">{name}</th>}</tr>
        </thead>
        <tbody>
          {bands.map((band) => (
            <tr key={band.name}>
              <th scope="row">{band.name}</th>
              <td>{significant(band.dn, 6)}</td>
              {physical && <td>{significant(band.physical)}</td>}
              {input && <td>{significant(band.input_dn, 6)}</td>}
              {input && physical && <td>{significant(band.input_physical)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
  );
}

/** Fused and input over wavelength, where both are known. */
function Spectrum({ values }: { values: PointValues }) {
  const scene = current.value;
  const points = values.bands.flatMap((band) => {
    const nm = scene?.bands.find((one) => one.name === band.name)?.nm;
    const fused = band.physical ?? band.dn;
    return nm && fused !== null ? [{ nm, fused, input: band.physical === null ? band.input_dn : band.input_physical }] : [];
  });
  if (points.length < 3) return null;
  points.sort((a, b) => a.nm - b.nm);
  const all = points.flatMap((one) => (one.input === null ? [one.fused] : [one.fused, one.input]));
  const [low, high] = [Math.min(0, ...all), Math.max(...all)];
  const [first, last] = [points[0]?.nm ?? 0, points[points.length - 1]?.nm ?? 1];
  const x = (nm: number) => 6 + ((nm - first) / (last - first || 1)) * 228;
  const y = (value: number) => 58 - ((value - low) / (high - low || 1)) * 50;
  const line = (of: (one: (typeof points)[number]) => number | null) =>
    points.flatMap((one) => { const value = of(one); return value === null ? [] : [`${x(one.nm).toFixed(1)},${y(value).toFixed(1)}`]; }).join(" ");
  return (
    <figure class="spectrum">
      <svg viewBox="0 0 240 64" role="img" aria-label="Spectrum of the pixel: fused and input over wavelength">
        <polyline class="input" points={line((one) => one.input)} />
        <polyline class="fused" points={line((one) => one.fused)} />
        {points.map((one) => <circle key={one.nm} cx={x(one.nm)} cy={y(one.fused)} r="2.6" />)}
      </svg>
      <figcaption><span>{Math.round(first)} nm</span><span class="key fused">fused</span>{points.some((one) => one.input !== null) && <span class="key input">input</span>}<span>{Math.round(last)} nm</span></figcaption>
    </figure>
  );
}
