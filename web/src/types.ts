/** What the server says, as the page reads it. */

export type Box = [west: number, south: number, east: number, north: number];
export type Pair = [low: number, high: number];

export interface Session {
  required: boolean;
  authenticated: boolean;
  user: string | null;
}

export interface Format {
  id: string;
  label: string;
  extension: string;
}

/** A row of the table of metrics. */
export interface Metric {
  name: string;
  label: string;
  unit: string;
  best: string;
  direction: "less" | "more" | "";
  phrase: string;
  variant: string;
  also: string[];
  package: string;
  version: string;
  /** Where it stands although there is room for few. */
  shown: ("terminal" | "headline" | "card")[];
}

export interface Config {
  version: string;
  title: string;
  basemap: { url: string; attribution: string; max_zoom: number } | null;
  formats: Format[];
  metrics: Metric[];
  limits: { clip_px: number; clip_bytes: number; upload_bytes: number };
}

export interface Geometry {
  type: string;
  coordinates: unknown;
}

export interface SceneProperties {
  title: string;
  datetime: string | null;
  sensor: string;
  collection: string;
  cloud_cover: number | null;
  verdict: string | null;
  method: string | null;
  version: string;
  gsd_m: number | null;
  width: number;
  height: number;
  bands: string[];
  access: string;
  attribution: string | null;
  license: string | null;
  bytes: number | null;
  quality: Record<string, number | null> | null;
  quicklook: string | null;
  updated: string | null;
  max_zoom?: number | null;
}

export interface SceneFeature {
  type: "Feature";
  id: string;
  geometry: Geometry;
  bbox: Box;
  properties: SceneProperties;
}

export interface Count {
  id: string;
  count: number;
}

export interface Facets {
  sensors?: (Count | string)[];
  verdicts?: (Count | string)[];
  datetime?: [string, string] | null;
  histogram?: { edges: string[]; counts: number[] } | null;
}

export interface SceneList {
  features: SceneFeature[];
  numberMatched: number;
  facets?: Facets;
}

export interface Histogram {
  counts: number[];
  edges: number[];
}

export interface Band {
  name: string;
  index: number;
  nm: number | null;
  dtype: string;
  nodata: number | null;
  scale: number | null;
  offset: number | null;
  unit: string | null;
  stats: { min: number; max: number; p2: number; p98: number; mean: number; histogram: Histogram };
}

export interface Preset {
  id: string;
  label: string;
  bands: string[];
}

export interface Download {
  asset: string;
  title: string;
  bytes: number | null;
  url: string;
  media_type: string;
}

export interface Detail {
  item: { id: string; properties: Record<string, unknown> };
  title: string;
  crs: string | null;
  crs_name?: string | null;
  transform: number[];
  width: number;
  height: number;
  bounds_lonlat: Box;
  bounds_3857: Box | null;
  bands: Band[];
  presets: Preset[];
  has_input: boolean;
  input: { width: number; height: number; gsd_m: number } | null;
  min_zoom: number;
  max_zoom: number;
  rights: { view: boolean; clip: boolean; download: boolean; native: boolean };
  downloads: Download[];
  report: string | null;
  provenance: string | null;
  quality: Record<string, unknown> | null;
  links: Partial<Record<"wmts" | "xyz" | "stac" | "qml" | "qlr", string>>;
  version?: string | number;
  datetime?: string;
  sensor?: string;
  gsd_m?: number | null;
  cloud_cover?: number | null;
  verdict?: string | null;
  method?: string | null;
  access?: string;
  attribution?: string | null;
  license?: string | null;
  geometry?: Geometry;
}

export interface PointBand {
  name: string;
  dn: number | null;
  physical: number | null;
  input_dn: number | null;
  input_physical: number | null;
}

export interface PointValues {
  row: number;
  col: number;
  valid: boolean;
  bands: PointBand[];
  mask: { flags: string[]; cloud_edge: boolean } | null;
}

export interface Area {
  name: string;
  features: number;
  geometry: Geometry;
  area_km2: number;
}

export interface ClipRequest {
  item: string;
  geometry: Geometry;
  bands: string[];
  format: string;
  crs: string | null;
  range: string | null;
  gamma: number | null;
}

export interface Estimate {
  window: [number, number, number, number] | null;
  width: number;
  height: number;
  bytes_estimate: number;
  allowed: boolean;
  reason: string | null;
  limit_px?: number;
  limit_bytes?: number;
}

export interface Job {
  id: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: number;
  message: string | null;
  bytes: number | null;
  filename: string | null;
  url: string | null;
}
