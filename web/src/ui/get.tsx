/** Taking a part, or all of it: the area, the bands, the form, what it will weigh, the jobs, whole products. */

import { useEffect, useRef, useState } from "preact/hooks";

import { address, api, Fault } from "../api.ts";
import { bytes, grouped, megapixels } from "../format.ts";
import { dropJob, jobs, resumeJobs, startClip, type Watched } from "../jobs.ts";
import { boxArea } from "../map/draw.ts";
import { fit } from "../map/map.ts";
import { clipArea, config, drawing, route, sheet, shownBands, shownRanges, view } from "../store.ts";
import { plain } from "../stretch.ts";
import type { Box, ClipRequest, Detail, Estimate, Format } from "../types.ts";
import { Section, Trouble } from "./bits.tsx";
import { Icon } from "./icons.tsx";

const FORMATS: Format[] = [
  { id: "cog", label: "Cloud Optimized GeoTIFF", extension: "tif" },
  { id: "gtiff", label: "GeoTIFF", extension: "tif" },
  { id: "png", label: "PNG picture, 8 bit", extension: "png" },
  { id: "jpeg", label: "JPEG picture, 8 bit", extension: "jpg" },
  { id: "netcdf", label: "NetCDF", extension: "nc" },
  { id: "zarr", label: "Zarr", extension: "zip" },
];
const picture = (format: string) => format === "png" || format === "jpeg";

export function GetTab({ scene }: { scene: Detail }) {
  useEffect(resumeJobs, []);
  return (
    <>
      {scene.rights.clip ? <Clip scene={scene} /> : (
        <Section title="Clip"><p class="quiet"><Icon name="lock" size={15} /> This scene is for viewing only: parts of it cannot be taken.</p></Section>
      )}
      <Section title="Whole product"><Downloads scene={scene} /></Section>
    </>
  );
}

function Clip({ scene }: { scene: Detail }) {
  const [bands, setBands] = useState<string[]>(() => scene.bands.map((band) => band.name));
  const [format, setFormat] = useState("cog");
  const [crs, setCrs] = useState<string | null>(null);
  const [estimate, trouble] = useEstimate(scene, bands, format, crs);
  const [starting, setStarting] = useState(false);
  const [refused, setRefused] = useState<Fault | null>(null);
  const request = asked(scene, bands, format, crs);

  const begin = async () => {
    if (!request) return;
    setStarting(true);
    setRefused(null);
    try {
      const label = (config.value?.formats ?? FORMATS).find((one) => one.id === format)?.label ?? format;
      await startClip(request, `${clipArea.value?.area.name ?? "Area"} · ${label}`);
    } catch (fault) {
      setRefused(fault instanceof Fault ? fault : new Fault("page", String(fault), 0));
    }
    setStarting(false);
  };
  const fits = estimate?.allowed === true;
  return (
    <>
      <Section title="Area"><AreaChoice scene={scene} /></Section>
      <Section title="Form">
        <FormatChoice format={format} setFormat={setFormat} />
        {picture(format) ? <PictureNote /> : <BandChoice scene={scene} bands={bands} setBands={setBands} />}
        <CrsChoice scene={scene} crs={crs} setCrs={setCrs} />
      </Section>
      <section class="section verdictbox" aria-live="polite">
        {trouble ? <Trouble fault={trouble} /> : <Size estimate={estimate} chosen={request !== null} />}
        {refused && <Trouble fault={refused} />}
        <button type="button" class="button strong wide" disabled={!fits || starting} onClick={() => void begin()}>
          <Icon name="download" size={18} />{starting ? "Starting…" : "Make the clip"}
        </button>
      </section>
      <Jobs item={scene.item.id} />
    </>
  );
}

function asked(scene: Detail, bands: string[], format: string, crs: string | null): ClipRequest | null {
  const area = clipArea.value;
  const chosen = picture(format) ? shownBands.value : bands;
  if (!area || chosen.length === 0) return null;
  const range = picture(format) ? shownRanges.value.map((one) => one.map(plain).join(",")).join(";") : null;
  const gamma = picture(format) ? route.value.look.gamma : null;
  return { item: scene.item.id, geometry: area.area.geometry, bands: chosen, format, crs, range, gamma };
}

/** What the server says of a request before it is made. */
function useEstimate(scene: Detail, bands: string[], format: string, crs: string | null): [Estimate | null, Fault | null] {
  const [found, setFound] = useState<[Estimate | null, Fault | null]>([null, null]);
  const request = asked(scene, bands, format, crs);
  const key = request ? JSON.stringify(request) : "";
  useEffect(() => {
    setFound([null, null]);
    if (!request) return undefined;
    const stop = new AbortController();
    const wait = setTimeout(() => {
      api.estimate(request, stop.signal).then(
        (estimate) => setFound([estimate, null]),
        (fault: unknown) => { if (!stop.signal.aborted) setFound([null, fault instanceof Fault ? fault : new Fault("page", String(fault), 0)]); },
      );
    }, 250);
    return () => { clearTimeout(wait); stop.abort(); };
  }, [key]);
  return found;
}

function AreaChoice({ scene }: { scene: Detail }) {
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
    const [w, s, e, n] = scene.bounds_lonlat;
    const box: Box = [Math.max(w, seen[0]), Math.max(s, seen[1]), Math.min(e, seen[2]), Math.min(n, seen[3])];
    if (box[0] < box[2] && box[1] < box[3]) clipArea.value = boxArea("view", "What the map shows", box);
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
    if (!box.every(Number.isFinite) || box[0] >= box[2] || box[1] >= box[3]) return setWrong("West must be less than east, south less than north, in degrees.");
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

function FormatChoice({ format, setFormat }: { format: string; setFormat: (id: string) => void }) {
  return (
    <label class="row"><span>Format</span>
      <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
        {(config.value?.formats ?? FORMATS).map((one) => <option key={one.id} value={one.id}>{one.label} (.{one.extension.replace(/^\./, "")})</option>)}
      </select>
    </label>
  );
}

function PictureNote() {
  const shown = shownBands.value;
  const ranges = shownRanges.value;
  const gamma = route.value.look.gamma;
  const told = shown.map((name, at) => `${name} ${ranges[at]?.map((value) => plain(Number(value.toPrecision(5)))).join("–")}`);
  return <p class="note">A picture of what is shown, 8 bit, with a world file. Stretch: {told.join(", ")}{gamma !== 1 && `, gamma ${gamma}`}. Change it under Look.</p>;
}

function BandChoice({ scene, bands, setBands }: { scene: Detail; bands: string[]; setBands: (names: string[]) => void }) {
  const toggle = (name: string) => setBands(scene.bands.map((band) => band.name).filter((one) => (one === name ? !bands.includes(one) : bands.includes(one))));
  return (
    <fieldset class="row bandset"><legend>Bands</legend>
      <span>
        {scene.bands.map((band) => (
          <label key={band.name} class="tick"><input type="checkbox" checked={bands.includes(band.name)} onChange={() => toggle(band.name)} />{band.name}</label>
        ))}
      </span>
    </fieldset>
  );
}

function CrsChoice({ scene, crs, setCrs }: { scene: Detail; crs: string | null; setCrs: (code: string | null) => void }) {
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

function Size({ estimate, chosen }: { estimate: Estimate | null; chosen: boolean }) {
  const limits = config.value?.limits;
  const most = limits ? `At most ${megapixels(limits.clip_px)} or ${bytes(limits.clip_bytes)} a clip.` : "";
  if (!chosen) return <p class="size quiet"><b>Choose an area</b><span>{most}</span></p>;
  if (!estimate) return <p class="size quiet"><b>Measuring…</b><span>{most}</span></p>;
  if (!estimate.allowed) return <p class="size wrong"><b>Not possible</b><span>{estimate.reason ?? most}</span></p>;
  return (
    <p class="size"><b>{grouped(estimate.width)} × {grouped(estimate.height)} px, about {bytes(estimate.bytes_estimate)}</b><span>{most}</span></p>
  );
}

function Jobs({ item }: { item: string }) {
  const mine = jobs.value.filter((one) => one.item === item);
  if (mine.length === 0) return null;
  return (
    <Section title="Clips">
      <ul class="jobs">{mine.map((one) => <JobLine key={one.job.id} one={one} />)}</ul>
    </Section>
  );
}

function JobLine({ one }: { one: Watched }) {
  const { job } = one;
  const busy = job.state === "queued" || job.state === "running";
  const share = Math.round(job.progress * 100);
  return (
    <li class={`job ${job.state}`}>
      <div class="jobhead"><b>{job.filename ?? one.label}</b><span>{job.state === "done" ? bytes(job.bytes) : job.state === "queued" ? "waiting" : busy ? `${share} %` : job.state}</span></div>
      {busy && <progress max="100" value={job.state === "queued" ? undefined : share} aria-label={`Progress of ${one.label}`} />}
      {(one.fault ?? (job.state === "failed" ? job.message : null)) && <p class="wrong">{one.fault ?? job.message}</p>}
      <div class="jobfoot">
        <span class="quiet">{one.label}</span>
        {job.state === "done" && job.url && <a class="button small strong" href={address(job.url)} download={job.filename ?? ""}><Icon name="download" size={16} />Download</a>}
        <button type="button" class="textbutton" onClick={() => void dropJob(one)}>{busy ? "Cancel" : "Remove"}</button>
      </div>
    </li>
  );
}

function Downloads({ scene }: { scene: Detail }) {
  if (!scene.rights.download || scene.downloads.length === 0) {
    return <p class="quiet"><Icon name="lock" size={15} /> The files of this scene cannot be downloaded.</p>;
  }
  return (
    <>
      <ul class="downloads">
        {scene.downloads.map((one) => (
          <li key={one.asset}>
            <span><b>{one.title || one.asset}</b><span class="quiet">{kind(one.media_type)} · {bytes(one.bytes)}</span></span>
            <a class="button small" href={address(one.url)} download aria-label={`Download ${one.title || one.asset}`}><Icon name="download" size={16} />Download</a>
          </li>
        ))}
      </ul>
      <p class="quiet">A download that broke off goes on where it stopped, in browsers and with <code>curl -C -</code>.</p>
    </>
  );
}

function kind(media: string): string {
  if (/cloud-optimized/.test(media)) return "COG";
  if (/geotiff|tiff/.test(media)) return "GeoTIFF";
  return media.split(";")[0]?.split("/").pop()?.toUpperCase() ?? media;
}
