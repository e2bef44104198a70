/** Taking a part, or all of it: the clip that is asked for, and what the server says it will weigh. */

import { useEffect, useState } from "preact/hooks";

import { api, Fault } from "../api.ts";
import { bytes, grouped, megapixels } from "../format.ts";
import { resumeJobs, startClip } from "../jobs.ts";
import { clipArea, config, route, shownBands, shownRanges } from "../store.ts";
import { plain } from "../stretch.ts";
import type { ClipRequest, Detail, Estimate } from "../types.ts";
import { AreaChoice } from "./clip_area.tsx";
import { BandChoice, CrsChoice, FormatChoice, formats, isPicture, PictureNote } from "./clip_form.tsx";
import { ClipJobs } from "./clip_jobs.tsx";
import { Section, Trouble } from "./controls.tsx";
import { Downloads } from "./downloads.tsx";
import { Icon } from "./icons.tsx";

export function ClipPanel({ scene }: { scene: Detail }) {
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
      const label = formats.value.find((one) => one.id === format)?.label ?? format;
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
        {isPicture(format) ? <PictureNote /> : <BandChoice scene={scene} bands={bands} setBands={setBands} />}
        <CrsChoice scene={scene} crs={crs} setCrs={setCrs} />
      </Section>
      <section class="section verdictbox" aria-live="polite">
        {trouble ? <Trouble fault={trouble} /> : <Size estimate={estimate} chosen={request !== null} />}
        {refused && <Trouble fault={refused} />}
        <button type="button" class="button strong wide" disabled={!fits || starting} onClick={() => void begin()}>
          <Icon name="download" size={18} />{starting ? "Starting…" : "Make the clip"}
        </button>
      </section>
      <ClipJobs item={scene.item.id} />
    </>
  );
}

function asked(scene: Detail, bands: string[], format: string, crs: string | null): ClipRequest | null {
  const area = clipArea.value;
  const chosen = isPicture(format) ? shownBands.value : bands;
  if (!area || chosen.length === 0) return null;
  const range = isPicture(format) ? shownRanges.value.map((one) => one.map(plain).join(",")).join(";") : null;
  const gamma = isPicture(format) ? route.value.look.gamma : null;
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
