/** Numbers, sizes, times and places as people read them. Pure. */

const THIN = "\u202f";

export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "size unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)}${THIN}${units[unit]}`;
}

export function grouped(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function megapixels(count: number): string {
  return count < 1e5 ? `${grouped(count)}${THIN}px` : `${(count / 1e6).toPrecision(3)}${THIN}Mpx`;
}

/** 4 August 2015 */
export function day(iso: string | null | undefined): string {
  const time = iso ? new Date(iso) : null;
  if (!time || Number.isNaN(time.getTime())) return "date unknown";
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).format(time);
}

/** 16:19 UTC; empty where only a day is known */
export function clock(iso: string | null | undefined): string {
  const time = iso?.slice(11, 16);
  return !time || time === "00:00" ? "" : `${time} UTC`;
}

/** How long ago, in the coarsest unit that says something. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return "just now";
  const steps: [number, string][] = [[60, "min"], [3600, "h"], [86400, "d"]];
  const [length, unit] = steps.findLast(([size]) => seconds >= size) ?? [60, "min"];
  return `${Math.floor(seconds / length)}${THIN}${unit} ago`;
}

export function metres(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  return value >= 1000 ? `${(value / 1000).toPrecision(3)}${THIN}km` : `${Number(value.toPrecision(3))}${THIN}m`;
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? "unknown" : `${Number(value.toFixed(value < 10 ? 1 : 0))}${THIN}%`;
}

/** 30.7312° N 87.4012° W */
export function position(lon: number, lat: number, digits = 4): string {
  const wrapped = ((((lon + 180) % 360) + 360) % 360) - 180;
  const part = (value: number, plus: string, minus: string) => `${Math.abs(value).toFixed(digits)}°${THIN}${value < 0 ? minus : plus}`;
  return `${part(lat, "N", "S")} ${part(wrapped, "E", "W")}`;
}

export function significant(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return value.toExponential(digits - 2);
  return String(Number(value.toPrecision(digits))).replace("-", "\u2212");
}

const SENSORS: Record<string, string> = {
  landsat8: "Landsat 8",
  landsat9: "Landsat 9",
  "landsat8-9": "Landsat 8/9",
  worldview2: "WorldView-2",
  worldview3: "WorldView-3",
  pleiades: "Pléiades",
  sentinel2: "Sentinel-2",
  generic: "Other sensors",
};

export function sensorName(id: string | null | undefined): string {
  if (!id) return "unknown sensor";
  return SENSORS[id] ?? id.charAt(0).toUpperCase() + id.slice(1);
}

export const METRICS: Record<string, { label: string; best: "0" | "1" | "high" | ""; what: string }> = {
  ergas: { label: "ERGAS", best: "0", what: "relative error over all bands, against a reference" },
  sam: { label: "SAM °", best: "0", what: "mean spectral angle, against a reference" },
  q: { label: "Q", best: "1", what: "correlation, contrast and brightness by band" },
  q2n: { label: "Q2n", best: "1", what: "the same over all bands at once" },
  scc: { label: "SCC", best: "1", what: "agreement of the edges" },
  psnr: { label: "PSNR dB", best: "high", what: "squared error, in decibels" },
  ssim: { label: "SSIM", best: "1", what: "likeness of structure" },
  r_ergas: { label: "R-ERGAS", best: "0", what: "brought back to the coarse grid, against the input" },
  r_sam: { label: "R-SAM °", best: "0", what: "the same as a spectral angle" },
  r_q2n: { label: "R-Q2n", best: "1", what: "the same as Q2n" },
  d_lambda: { label: "D_λ", best: "0", what: "change of the bands' relations to each other" },
  d_s: { label: "D_S", best: "0", what: "change of the bands' likeness to PAN" },
  qnr: { label: "QNR", best: "1", what: "(1 − D_λ)(1 − D_S)" },
  d_lambda_k: { label: "D_λᴷ", best: "0", what: "spectra of the low-passed product against the input" },
  hqnr: { label: "HQNR", best: "1", what: "(1 − D_λᴷ)(1 − D_S)" },
  calibration_confidence: { label: "Calibration", best: "1", what: "confidence of shift and blur measured on the pair" },
  valid_share: { label: "Valid", best: "1", what: "share of the image that has data" },
  r_sam_deg: { label: "R-SAM °", best: "0", what: "brought back to the coarse grid, as a spectral angle" },
  match_r2: { label: "Match", best: "1", what: "how much of PAN's detail the bands explain" },
  shift_px: { label: "Shift, px", best: "", what: "between PAN and MS, in PAN pixels; taken into account" },
  no_harm_share: { label: "Detail kept", best: "1", what: "least share of the detail that a band was given" },
  hold_out_gain: { label: "Gain", best: "1", what: "error less than upsampling's, on what was held out" },
  edge_gain: { label: "Edges", best: "high", what: "how many times as steep as upsampled" },
  seams: { label: "Seams", best: "0", what: "tile borders that show" },
  level_factor: { label: "Level", best: "1", what: "brightness of the product over the input's" },
  index_bias: { label: "Index bias", best: "0", what: "of NDVI, EVI2 and NDWI, at the input's scale" },
  nodata_share: { label: "No data", best: "", what: "share of the image without data" },
  saturated_share: { label: "Saturated", best: "0", what: "share of values beyond the type's range" },
  moved_share: { label: "Moved", best: "0", what: "share of values that had to step aside for nodata" },
  cloud_share: { label: "Cloud", best: "", what: "share of the valid pixels" },
  d_rho: { label: "D_ρ", best: "0", what: "1 − local correlation with PAN" },
};
