/** The map with what lies on it: zoom, swipe, time, scale, place, credits, the pixel's values. */

import { useEffect, useRef } from "preact/hooks";

import { position } from "../format.ts";
import { fit, fitAll, loading, placeMap, pointer, zoomBy } from "../map/map.ts";
import { phone } from "../media.ts";
import { config, current, drawing, go, route, sceneId, scenes } from "../store.ts";
import { IconButton } from "./controls.tsx";
import { PixelCard } from "./pixel.tsx";
import { Swipe } from "./swipe.tsx";
import { Timeline } from "./timeline.tsx";

export function MapArea() {
  const target = useRef<HTMLDivElement>(null);
  const scale = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (target.current && scale.current) placeMap(target.current, scale.current);
  }, []);
  const open = sceneId.value !== null;
  return (
    <section class="maparea" aria-label="Map">
      <div class="mapplace" ref={target} />
      {open && <i class="crosshair" aria-hidden="true" />}
      {loading.value && <div class="tilebar" role="progressbar" aria-label="Loading the map's tiles" />}
      <Swipe />
      <Tools />
      {drawing.value && (
        <div class="hint">
          {drawing.value === "box" ? "Drag a box. Esc ends." : "Click the corners; double-click or Enter closes. Esc ends."}
          <button type="button" class="button small" onClick={() => (drawing.value = null)}>Cancel</button>
        </div>
      )}
      {open && <PixelCard />}
      <div class="foot">
        {!open && !phone.value && <Timeline />}
        <div class="line">
          <div class="scale" ref={scale} />
          <Pointer />
          <Credits />
        </div>
      </div>
    </section>
  );
}

function Tools() {
  const scene = current.value;
  const swipe = route.value.swipe;
  return (
    <div class="tools" role="group" aria-label="Map tools">
      <IconButton icon="plus" label="Zoom in" onClick={() => zoomBy(1)} />
      <IconButton icon="minus" label="Zoom out" onClick={() => zoomBy(-1)} />
      <IconButton icon="fit" label={scene ? "Show the whole scene" : "Show all scenes"} onClick={() => (scene ? fit(scene.bounds_lonlat) : fitAll())} />
      {scene?.has_input && (
        <IconButton icon="swipe" label="Compare with the unsharpened input" pressed={swipe !== null} onClick={() => go({ swipe: swipe === null ? 0.5 : null })} />
      )}
    </div>
  );
}

function Pointer() {
  const at = pointer.value;
  return <span class="pointer" aria-hidden="true">{at ? position(at[0], at[1]) : ""}</span>;
}

function Credits() {
  const said = scenes.value;
  const scene = current.value;
  const listed = said.state === "ready" ? said.value.features.map((one) => one.properties.attribution) : [];
  const basemap = config.value?.basemap?.attribution;
  const all = new Set([...(scene ? [scene.attribution] : listed), basemap].filter((text) => !!text));
  const text = [...all].slice(0, 3).join(" · ") + (all.size > 3 ? ` · and ${all.size - 3} more` : "");
  return <span class="credits" title={[...all].join("\n")}>{text || "Made with geofuse"}</span>;
}
