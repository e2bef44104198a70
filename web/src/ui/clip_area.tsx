/** Which area a clip is of: drawn, uploaded, typed, what the map shows, or the whole scene. */

import { useRef, useState } from "preact/hooks";

import { api, Fault } from "../api.ts";
import { bytes } from "../format.ts";
import { shared } from "../lonlat.ts";
import { boxArea } from "../map/draw.ts";
import { fit } from "../map/map.ts";
import { clipArea, config, drawing, sheet, view } from "../store.ts";
import type { Box, Detail } from "../types.ts";
import { Trouble } from "./controls.tsx";
import { Icon } from "./icons.tsx";

export function AreaChoice({ scene }: { scene: Detail }) {
  const picker = useRef<HTMLInputElement>(null);
  const [trouble, setTrouble] = useState<Fault | null>(null);
  const [typing, setTyping] = useState(false);
  const [busy, setBusy] = useState(false);
  const area = clipArea.value;
  const limit = config.value?.limits.upload_bytes;

  const upload = async (file: File | undefined) => {
    if (!file) return;
    setTrouble(null);
    drawing.value = null;
    if (limit && file.size > limit) return setTrouble(new Fault("size", `${file.name} has ${bytes(file.size)}; at most ${bytes(limit)} can be uploaded.`, 413));
    setBusy(true);
    try {
      clipArea.value = { how: "uploaded", area: await api.upload(file) };
    } catch (fault) {
      setTrouble(fault instanceof Fault ? fault : new Fault("page", String(fault), 0));
    }
    setBusy(false);
    if (picker.current) picker.current.value = "";
  };
  const draw = (shape: "polygon" | "box") => {
    setTrouble(null);
    drawing.value = drawing.value === shape ? null : shape;
    if (drawing.value) sheet.value = "low";
  };
  const inView = () => {
    const seen = view.value;
    if (!seen) return;
    const box = shared(scene.bounds_lonlat, seen);
    if (box) clipArea.value = boxArea("view", "What the map shows", box);
  };
  const whole = () => (clipArea.value = boxArea("scene", "Whole scene", scene.bounds_lonlat));
  return (
    <>
      <div class="areas" role="group" aria-label="Choose the area" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); void upload(event.dataTransfer?.files[0]); }}>
        <button type="button" aria-pressed={drawing.value === "box"} onClick={() => draw("box")}><Icon name="box" />Draw a box</button>
        <button type="button" aria-pressed={drawing.value === "polygon"} onClick={() => draw("polygon")}><Icon name="polygon" />Draw a polygon</button>
        <button type="button" disabled={busy} onClick={() => picker.current?.click()}><Icon name="upload" />{busy ? "Reading…" : "Upload a file"}</button>
        <button type="button" aria-expanded={typing} onClick={() => setTyping(!typing)}><Icon name="pin" />Type corners</button>
        <button type="button" onClick={inView}><Icon name="view" />What the map shows</button>
        <button type="button" onClick={whole}><Icon name="whole" />Whole scene</button>
        <input ref={picker} class="aside" type="file" tabIndex={-1} aria-label="Area file" accept=".geojson,.json,.gpkg,.zip,.kml" onChange={(event) => void upload(event.currentTarget.files?.[0])} />
      </div>
      <p class="quiet">Files: GeoJSON, GeoPackage, zipped Shapefile, KML{limit ? `, up to ${bytes(limit)}` : ""}.</p>
      {typing && <Corners scene={scene} />}
      {trouble && <Trouble fault={trouble} />}
      {area && (
        <div class="chosen">
          <div><b>{area.area.name}</b><span>{area.area.area_km2.toPrecision(3)} km²{area.area.features > 1 ? ` · ${area.area.features} areas` : ""}</span></div>
          <button type="button" class="textbutton" onClick={() => fit(extent(area.area.geometry.coordinates))}>Show</button>
          <button type="button" class="textbutton" onClick={() => (clipArea.value = null)}>Remove</button>
        </div>
      )}
    </>
  );
}

/** The box around nested coordinates. */
function extent(coordinates: unknown): Box {
  const box: Box = [180, 90, -180, -90];
  const visit = (part: unknown): void => {
    if (!Array.isArray(part)) return;
    const [x, y] = part as unknown[];
    if (typeof x === "number" && typeof y === "number") {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    } else part.forEach(visit);
  };
  visit(coordinates);
  return box;
}

const SIDES = ["West", "South", "East", "North"] as const;

function Corners({ scene }: { scene: Detail }) {
  const form = useRef<HTMLFormElement>(null);
  const [wrong, setWrong] = useState("");
  const use = (event: Event) => {
    event.preventDefault();
    const box = SIDES.map((side) => Number((form.current?.elements.namedItem(side) as HTMLInputElement).value)) as unknown as Box;
    if (!box.every(Number.isFinite) || box[0] === box[2] || box[1] >= box[3]) return setWrong("West and east must differ, south must be less than north, in degrees.");
    setWrong("");
    clipArea.value = boxArea("typed", "Typed box", box);
  };
  return (
    <form class="corners" ref={form} onSubmit={use}>
      {SIDES.map((side, at) => (
        <label key={side}>{side}<input name={side} class="number" inputMode="decimal" required defaultValue={scene.bounds_lonlat[at]?.toFixed(5)} /></label>
      ))}
      <button type="submit" class="button small">Use</button>
      {wrong && <p class="wrong" role="alert">{wrong}</p>}
    </form>
  );
}
