/** The catalogue: search, filters, and a card for each scene. */

import { useEffect, useRef, useState } from "preact/hooks";

import { bandWords, clock, day, grouped, metres, percent, sensorName, significant, unmarked } from "../format.ts";
import { phone } from "../media.ts";
import { countFilters } from "../route.ts";
import { clearFilters, config, filter, fresh, hovered, loadScenes, moreScenes, openScene, route, scenes, stale } from "../store.ts";
import type { Count, SceneFeature } from "../types.ts";
import { Choice, sentence, Trouble, Verdict } from "./controls.tsx";
import { Icon } from "./icons.tsx";
import { Timeline } from "./timeline.tsx";

let returnTo: string | null = null;

export function Catalog() {
  const said = scenes.value;
  const filters = route.value.filters;
  const [open, setOpen] = useState(() => countFilters({ ...filters, q: "" }) > 0);
  const active = countFilters({ ...filters, q: "" });
  useEffect(() => {
    if (returnTo) document.getElementById(`card-${returnTo}`)?.focus({ preventScroll: false });
    returnTo = null;
  }, []);
  return (
    <div class="catalog">
      <h1 class="aside">Scenes</h1>
      <div class="search">
        <Icon name="search" />
        <input
          type="search" aria-label="Search scenes" placeholder="Search scenes" value={filters.q}
          onInput={(event) => filter({ q: event.currentTarget.value })}
        />
        <button type="button" class="button filterbutton" aria-expanded={open} aria-controls="filters" onClick={() => setOpen(!open)}>
          <Icon name="filter" size={18} /> Filters{active > 0 && <b class="badge">{active}</b>}
        </button>
      </div>
      <div id="filters" class="filters" hidden={!open}><Filters /></div>
      {phone.value && <Timeline />}
      <div class="count" aria-live="polite">
        <b>{said.state === "ready" ? counted(said.value.matched) : said.state === "failed" ? "" : "Loading scenes…"}</b>
        {stale.value && said.state === "ready" && <i class="busy" aria-label="Loading" />}
        {countFilters(filters) > 0 && <button type="button" class="textbutton" onClick={clearFilters}>Clear filters</button>}
      </div>
      {said.state === "failed" && <Trouble fault={said.fault} retry={() => void loadScenes()} />}
      {said.state === "loading" && <Skeletons />}
      {said.state === "ready" && <List features={said.value.features} matched={said.value.matched} />}
    </div>
  );
}

const counted = (count: number) => (count === 1 ? "1 scene" : `${grouped(count)} scenes`);

const asCounts = (list: (Count | string)[] | undefined, features: SceneFeature[], of: (one: SceneFeature) => string | null): Count[] => {
  if (list) return list.map((one) => (typeof one === "string" ? { id: one, count: 0 } : one));
  const counts = new Map<string, number>();
  for (const one of features) {
    const id = of(one);
    if (id) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return [...counts].map(([id, count]) => ({ id, count }));
};

function Filters() {
  const filters = route.value.filters;
  const said = scenes.value;
  const { facets, features } = said.state === "ready" ? said.value : { facets: {}, features: [] };
  const sensors = asCounts(facets.sensors, features, (one) => one.properties.sensor);
  const verdicts = asCounts(facets.verdicts, features, (one) => one.properties.verdict);
  const cloud = filters.cloudMax ?? 100;
  const keep = (list: Count[], chosen: string | null) => (chosen && !list.some((one) => one.id === chosen) ? [...list, { id: chosen, count: 0 }] : list);
  const counted = (one: Count, name: string) => (one.count > 0 ? `${name} (${one.count})` : name);
  return (
    <>
      <label class="row"><span>Sensor</span>
        <select value={filters.sensor ?? ""} onChange={(event) => filter({ sensor: event.currentTarget.value || null })}>
          <option value="">All sensors</option>
          {keep(sensors, filters.sensor).map((one) => <option key={one.id} value={one.id}>{counted(one, sensorName(one.id))}</option>)}
        </select>
      </label>
      {keep(verdicts, filters.verdict).length > 0 && (
        <div class="row"><span>Quality</span>
          <Choice
            label="Quality" value={filters.verdict ?? ""} onChange={(id) => filter({ verdict: id || null })}
            options={[{ id: "", label: "Any" }, ...keep(verdicts, filters.verdict).map((one) => ({ id: one.id, label: counted(one, sentence(one.id)) }))]}
          />
        </div>
      )}
      <label class="row"><span>Cloud</span>
        <span class="slide">
          <input type="range" min="0" max="100" step="5" value={cloud} aria-valuetext={cloud === 100 ? "any" : `at most ${cloud} %`}
            onChange={(event) => { const value = Number(event.currentTarget.value); filter({ cloudMax: value >= 100 ? null : value }); }} />
          <output>{cloud === 100 ? "any" : `≤ ${cloud} %`}</output>
        </span>
      </label>
      <div class="row" role="group" aria-label="Acquired"><span>Acquired</span>
        <span class="pair">
          <input type="date" aria-label="Acquired from" value={filters.from ?? ""} onChange={(event) => filter({ from: event.currentTarget.value || null })} />
          <i>–</i>
          <input type="date" aria-label="Acquired to" value={filters.to ?? ""} onChange={(event) => filter({ to: event.currentTarget.value || null })} />
        </span>
      </div>
      <label class="row check"><span>Place</span>
        <span><input type="checkbox" checked={filters.inView} onChange={(event) => filter({ inView: event.currentTarget.checked })} /> Only where the map looks</span>
      </label>
    </>
  );
}

function Skeletons() {
  return <ul class="cards" aria-hidden="true">{[0, 1, 2, 3].map((one) => <li key={one} class="ghost"><div class="thumb skeleton" /><div class="words"><i class="skeleton" /><i class="skeleton short" /></div></li>)}</ul>;
}

function List({ features, matched }: { features: SceneFeature[]; matched: number }) {
  if (features.length === 0) return <Nothing />;
  return (
    <>
      <ul class="cards">{features.map((scene) => <Card key={scene.id} scene={scene} />)}</ul>
      {features.length < matched && <button type="button" class="button wide" disabled={stale.value} onClick={moreScenes}>Show more of {grouped(matched)}</button>}
    </>
  );
}

function Nothing() {
  const narrowed = countFilters(route.value.filters) > 0;
  return (
    <div class="nothing">
      <b>{narrowed ? "No scene matches" : "No scene yet"}</b>
      <p>{narrowed ? "Widen the dates, the cloud cover or the text." : "A scene appears here by itself as soon as it is published. Internal scenes are shown after signing in."}</p>
      {narrowed && <button type="button" class="button" onClick={clearFilters}>Clear filters</button>}
    </div>
  );
}

function Card({ scene }: { scene: SceneFeature }) {
  const about = scene.properties;
  const item = useRef<HTMLLIElement>(null);
  const lit = hovered.value === scene.id;
  useEffect(() => {
    if (lit && !item.current?.matches(":hover, :focus-within")) item.current?.scrollIntoView({ block: "nearest" });
  }, [lit]);
  const open = (event: Event) => {
    event.preventDefault();
    returnTo = scene.id;
    openScene(scene.id);
  };
  const headline = config.value?.metrics.find((one) => one.shown.includes("card"));
  const score = headline ? about.quality?.[headline.name] ?? null : null;
  const time = clock(about.datetime);
  return (
    <li
      ref={item} class={`card ${lit ? "lit" : ""}`} onPointerEnter={() => (hovered.value = scene.id)} onPointerLeave={() => (hovered.value = null)}
    >
      <Thumb url={about.quicklook} />
      <div class="words">
        <a id={`card-${scene.id}`} href={`#/scene/${encodeURIComponent(scene.id)}`} onClick={open} onFocus={() => (hovered.value = scene.id)} onBlur={() => (hovered.value = null)}>{about.title}</a>
        <p class="product">{scene.id}</p>
        <p class="when">{day(about.datetime)}{time && <span> · {time}</span>}</p>
        <p class="facts">
          <span>{sensorName(about.sensor)}</span>
          {about.gsd_m !== null && <span>{metres(about.gsd_m)}</span>}
          {about.method && <span>{about.method}</span>}
          {about.cloud_cover !== null && about.cloud_cover !== undefined && <span title="Cloud cover"><Icon name="cloud" size={15} />{percent(about.cloud_cover)}</span>}
        </p>
        <p class="facts bandwords" title={about.bands.join(", ")}>{bandWords(about.bands)}</p>
        <p class="pills">
          {fresh.value.has(scene.id) && <span class="pill new">New</span>}
          <Verdict verdict={about.verdict} />
          {typeof score === "number" && headline && <span class="pill plain" title={`${unmarked(headline.phrase)} Best ${headline.best}.`}>{unmarked(headline.label)} {significant(score, 3)}</span>}
          {about.access && about.access !== "open" && <span class="pill plain"><Icon name="lock" size={13} />{about.access === "view-only" ? "View only" : "Internal"}</span>}
        </p>
      </div>
    </li>
  );
}

function Thumb({ url }: { url: string | null }) {
  const [state, setState] = useState<"loading" | "there" | "none">(url ? "loading" : "none");
  return (
    <div class={`thumb ${state === "loading" ? "skeleton" : ""}`}>
      {url && state !== "none" && (
        <img src={url.replace(/^\//, "")} alt="" width="96" height="96" loading="lazy" decoding="async" onLoad={() => setState("there")} onError={() => setState("none")} />
      )}
    </div>
  );
}
