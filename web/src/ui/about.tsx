/** What the product is: facts, bands, links for a GIS, where it came from. */

import { useEffect, useState } from "preact/hooks";

import { address, api } from "../api.ts";
import { bandWords, clock, day, FEW_BANDS, grouped, metres, position, sensorName, significant } from "../format.ts";
import type { Detail } from "../types.ts";
import { Copy, Section } from "./controls.tsx";
import { known } from "./rendering_panel.tsx";

const LINKS = [
  ["wmts", "WMTS", "QGIS, ArcGIS: add a WMTS connection"],
  ["xyz", "XYZ tiles", "QGIS: XYZ Tiles, new connection"],
  ["stac", "STAC item", "pystac-client, QGIS's STAC browser"],
  ["qlr", "QGIS layer", "drag it into QGIS: the scene with its style"],
  ["qml", "QGIS style", "for a file that was downloaded"],
] as const;

export function AboutTab({ scene }: { scene: Detail }) {
  return (
    <>
      <Section title="In your GIS"><Links scene={scene} /></Section>
      <Section title="Product"><Facts scene={scene} /></Section>
      <Section title="Bands">
        {scene.bands.length <= FEW_BANDS ? <Bands scene={scene} /> : (
          <details class="many"><summary>{bandWords(scene.bands.map((band) => band.name))}</summary><Bands scene={scene} /></details>
        )}
      </Section>
      <Section title="Where it came from"><Provenance url={scene.provenance} /></Section>
    </>
  );
}

function Links({ scene }: { scene: Detail }) {
  const given = LINKS.filter(([id]) => scene.links[id]);
  if (given.length === 0) return <p class="quiet">This scene has no links.</p>;
  return (
    <ul class="links">
      {given.map(([id, label, use]) => {
        const text = scene.links[id] ?? "";
        const url = /^https?:/.test(text) ? text : decodeURI(address(text));
        const file = id === "qlr" || id === "qml";
        return (
          <li key={id}>
            <div class="linkhead"><b>{label}</b><span class="quiet">{use}</span></div>
            <div class="linkline">
              <code tabIndex={0} aria-label={`${label} address`}>{url}</code>
              {file ? <a class="copy" href={url} download>Save</a> : <Copy text={url} label={`${label} address`} />}
            </div>
          </li>
        );
      })}
    </ul>
  );
}

function Facts({ scene }: { scene: Detail }) {
  const [w, s, e, n] = scene.bounds_lonlat;
  const rows: [string, string | null | undefined][] = [
    ["Acquired", `${day(scene.datetime)} ${clock(scene.datetime)}`],
    ["Sensor", sensorName(scene.sensor)],
    ["Product", scene.item.id],
    ["Method", scene.method],
    ["Version", String(scene.version ?? "").split("-")[0]],
    ["Size", `${grouped(scene.width)} × ${grouped(scene.height)} px`],
    ["Pixel", scene.input ? `${metres(scene.gsd_m)}, from ${metres(scene.input.gsd_m)}` : metres(scene.gsd_m)],
    ["CRS", [...new Set([scene.crs, scene.crs_name].filter(Boolean))].join(", ")],
    ["Extent", `${position(w, s)} to ${position(e, n)}`],
    ["Licence", scene.license],
    ["Credit", scene.attribution],
    ["Access", scene.access],
  ];
  return <dl class="facts">{rows.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function Bands({ scene }: { scene: Detail }) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Bands">
      <table class="bands">
        <thead><tr><th scope="col">Band</th><th scope="col" class="n">nm</th><th scope="col">Type</th><th scope="col" class="n">Nodata</th><th scope="col">Physical value</th></tr></thead>
        <tbody>
          {scene.bands.map((band) => (
            <tr key={band.name}>
              <th scope="row">{band.name}</th><td class="n">{band.nm ? Math.round(band.nm) : "–"}</td><td>{band.dtype}</td>
              <td class="n">{band.nodata ?? "–"}</td><td>{known(band) && band.scale ? `${significant(band.scale)} · DN ${signed(band.offset ?? 0)}` : "unknown"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const signed = (value: number) => (value < 0 ? `− ${significant(-value)}` : `+ ${significant(value)}`);

interface Source { path?: string; name?: string; sha256?: string }

function Provenance({ url }: { url: string | null }) {
  const [record, setRecord] = useState<Record<string, unknown> | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    if (url) api.provenance(url).then(setRecord, (fault: Error) => setTrouble(fault.message));
  }, [url]);
  if (!url) return <p class="quiet">No record was published with this product.</p>;
  if (trouble) return <p class="wrong">{trouble}</p>;
  if (!record) return <div class="skeleton block" />;
  const warnings = Array.isArray(record.warnings) ? record.warnings.map(String) : [];
  const inputs = Array.isArray(record.inputs) ? (record.inputs as Source[]) : [];
  const method = record.method as { name?: string } | string | undefined;
  const versions = (record.versions ?? record.software) as Record<string, unknown> | undefined;
  return (
    <>
      <dl class="facts">
        {method && <div><dt>Method</dt><dd>{typeof method === "string" ? method : method.name}</dd></div>}
        {versions && <div><dt>Made by</dt><dd>{Object.entries(versions).slice(0, 4).map(([name, version]) => `${name} ${String(version)}`).join(", ")}</dd></div>}
        {inputs.length > 0 && <div><dt>Inputs</dt><dd>{inputs.map((one) => <span key={one.path ?? one.name} class="input">{(one.path ?? one.name ?? "").split("/").pop()}{one.sha256 && <code title={one.sha256}>{one.sha256.slice(0, 12)}</code>}</span>)}</dd></div>}
      </dl>
      {warnings.length > 0 && <ul class="warnings">{warnings.map((text) => <li key={text}>{text}</li>)}</ul>}
      <details><summary>The whole record</summary><pre tabIndex={0}>{JSON.stringify(record, null, 1)}</pre></details>
    </>
  );
}
