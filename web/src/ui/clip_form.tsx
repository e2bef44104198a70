/** The form a clip takes: its format, bands and reference system. */

import { computed } from "@preact/signals";
import { useState } from "preact/hooks";

import { FEW_BANDS } from "../format.ts";
import { config, route, shownBands, shownRanges } from "../store.ts";
import { plain } from "../stretch.ts";
import type { Detail, Format } from "../types.ts";

const COG: Format = { id: "cog", label: "Cloud Optimized GeoTIFF", extension: "tif" };

/** What the server makes, once it has said so; every server makes a COG. */
export const formats = computed(() => config.value?.formats ?? [COG]);

/** Whether a format is a picture of what is shown, and no file of values. */
export const isPicture = (format: string) => format === "png" || format === "jpeg";

export function FormatChoice({ format, setFormat }: { format: string; setFormat: (id: string) => void }) {
  return (
    <label class="row"><span>Format</span>
      <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
        {formats.value.map((one) => <option key={one.id} value={one.id}>{one.label} (.{one.extension.replace(/^\./, "")})</option>)}
      </select>
    </label>
  );
}

export function PictureNote() {
  const shown = shownBands.value;
  const ranges = shownRanges.value;
  const gamma = route.value.look.gamma;
  const told = shown.map((name, at) => `${name} ${ranges[at]?.map((value) => plain(Number(value.toPrecision(5)))).join("–")}`);
  return <p class="note">A picture of what is shown, 8 bit, with a world file. Stretch: {told.join(", ")}{gamma !== 1 && `, gamma ${gamma}`}. Change it under Look.</p>;
}

export function BandChoice({ scene, bands, setBands }: { scene: Detail; bands: string[]; setBands: (names: string[]) => void }) {
  const toggle = (name: string) => setBands(scene.bands.map((band) => band.name).filter((one) => (one === name ? !bands.includes(one) : bands.includes(one))));
  const ticks = (
    <span>
      {scene.bands.map((band) => (
        <label key={band.name} class="tick"><input type="checkbox" checked={bands.includes(band.name)} onChange={() => toggle(band.name)} />{band.name}</label>
      ))}
    </span>
  );
  return (
    <fieldset class="row bandset"><legend>Bands</legend>
      {scene.bands.length <= FEW_BANDS ? ticks : <details class="many"><summary>{bands.length} of {scene.bands.length}</summary>{ticks}</details>}
    </fieldset>
  );
}

export function CrsChoice({ scene, crs, setCrs }: { scene: Detail; crs: string | null; setCrs: (code: string | null) => void }) {
  const [other, setOther] = useState(false);
  const common = ["EPSG:4326", "EPSG:3857"].filter((code) => code !== scene.crs);
  const value = crs === null && !other ? "" : common.includes(crs ?? "") && !other ? (crs ?? "") : "other";
  const choose = (next: string) => {
    setOther(next === "other");
    setCrs(next === "" || next === "other" ? null : next);
  };
  const type = (text: string) => {
    const code = /^(?:epsg:)?\s*(\d{4,6})$/i.exec(text);
    setCrs(code ? `EPSG:${code[1]}` : null);
  };
  return (
    <>
      <label class="row"><span>CRS</span>
        <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">{scene.crs_name ?? scene.crs ?? "As the scene"}: native grid</option>
          {common.map((code) => <option key={code} value={code}>{code === "EPSG:4326" ? "WGS 84 longitude, latitude" : "Web Mercator"} ({code})</option>)}
          <option value="other">Another EPSG code…</option>
        </select>
      </label>
      {other && <label class="row"><span>EPSG</span><input class="number" inputMode="numeric" placeholder="32633" onInput={(event) => type(event.currentTarget.value)} /></label>}
      <p class="quiet">{crs === null ? "The scene's own pixels, not resampled: every number as in the product." : "Reprojected: pixels are resampled, numbers change a little."}</p>
    </>
  );
}
