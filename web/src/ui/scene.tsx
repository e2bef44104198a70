/** One scene: its head, and four tabs. */

import { useEffect, useRef } from "preact/hooks";

import { clock, day, metres, percent, sensorName } from "../format.ts";
import type { Tab } from "../route.ts";
import { closeScene, detail, go, loadDetail, route, sceneId, sheet } from "../store.ts";
import type { Detail } from "../types.ts";
import { AboutTab } from "./about.tsx";
import { Trouble, Verdict } from "./controls.tsx";
import { ClipPanel } from "./clip_panel.tsx";
import { Icon } from "./icons.tsx";
import { RenderingPanel } from "./rendering_panel.tsx";
import { QualityTab } from "./quality.tsx";

const TABS: { id: Tab; label: string }[] = [
  { id: "look", label: "Look" },
  { id: "quality", label: "Quality" },
  { id: "get", label: "Clip & download" },
  { id: "about", label: "About" },
];

export function ScenePanel() {
  const said = detail.value;
  const heading = useRef<HTMLHeadingElement>(null);
  const ready = said.state === "ready";
  useEffect(() => heading.current?.focus({ preventScroll: true }), [ready]);
  const id = sceneId.value ?? "";
  return (
    <div class="scene">
      <div class="scenehead">
        <a class="back" href="#/" onClick={(event) => { event.preventDefault(); closeScene(); }}><Icon name="back" size={18} />All scenes</a>
        <h1 ref={heading} tabIndex={-1}>{ready ? said.value.title : id}</h1>
        {ready && <p class="product">{said.value.item.id}</p>}
        {ready ? <Facts scene={said.value} /> : <p class="facts"><i class="skeleton short" /></p>}
      </div>
      {said.state === "failed" && <Trouble fault={said.fault} retry={() => (said.fault.status === 404 ? closeScene() : void loadDetail(id))} retryLabel={said.fault.status === 404 ? "All scenes" : "Try again"} />}
      {said.state === "loading" && <div class="tabbody"><div class="skeleton block" /><div class="skeleton block" /></div>}
      {ready && <Tabs scene={said.value} />}
    </div>
  );
}

function Facts({ scene }: { scene: Detail }) {
  const time = clock(scene.datetime);
  return (
    <p class="facts">
      <span>{day(scene.datetime)}{time && `, ${time}`}</span>
      <span>{sensorName(scene.sensor)}</span>
      {scene.gsd_m && <span>{metres(scene.gsd_m)}</span>}
      {scene.method && <span>{scene.method}</span>}
      <span title={scene.bands.map((band) => band.name).join(", ")}>{scene.bands.length === 1 ? "1 band" : `${scene.bands.length} bands`}</span>
      {scene.cloud_cover !== null && scene.cloud_cover !== undefined && <span><Icon name="cloud" size={15} />{percent(scene.cloud_cover)}</span>}
      <Verdict verdict={scene.verdict} />
    </p>
  );
}

function Tabs({ scene }: { scene: Detail }) {
  const at = route.value.tab;
  const list = useRef<HTMLDivElement>(null);
  const choose = (tab: Tab) => {
    go({ tab });
    if (sheet.peek() === "low") sheet.value = "half";
  };
  const move = (event: KeyboardEvent) => {
    const place = TABS.findIndex((one) => one.id === at);
    const to: Record<string, number> = { ArrowLeft: place + TABS.length - 1, ArrowRight: place + 1, Home: 0, End: TABS.length - 1 };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    go({ tab: TABS[next % TABS.length]?.id ?? "look" });
    queueMicrotask(() => list.current?.querySelector<HTMLElement>("[aria-selected=true]")?.focus());
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label="About this scene" ref={list} onKeyDown={move}>
        {TABS.map((one) => (
          <button
            key={one.id} type="button" role="tab" id={`tab-${one.id}`} aria-controls="tabbody" aria-selected={one.id === at}
            tabIndex={one.id === at ? 0 : -1} onClick={() => choose(one.id)}
          >{one.label}</button>
        ))}
      </div>
      <div class="tabbody" role="tabpanel" id="tabbody" aria-labelledby={`tab-${at}`}>
        {at === "look" && <RenderingPanel scene={scene} />}
        {at === "quality" && <QualityTab scene={scene} />}
        {at === "get" && <ClipPanel scene={scene} />}
        {at === "about" && <AboutTab scene={scene} />}
      </div>
    </>
  );
}
